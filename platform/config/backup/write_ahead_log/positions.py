"""Names and positions in the write-ahead log (PostgreSQL documentation, 30.5 and 9.28.3).

A segment's name has 24 hexadecimal digits: timeline, and the number of the segment in two halves.
"""

import re
from dataclasses import dataclass, replace

SEGMENT = re.compile(r"[0-9A-F]{24}")
HISTORY = re.compile(r"[0-9A-F]{8}\.history")
PIECE = re.compile(r"([0-9A-F]{24})\.([0-9a-f]{8})-([0-9a-f]{8})")
_ALL = 1 << 32  # bytes that the lower half of a position counts


def position(text: str) -> int:
    """Returns bytes from the log's beginning, of PostgreSQL's "16/B374D848"."""
    upper, _, lower = text.partition("/")
    return int(upper, 16) * _ALL + int(lower, 16)


@dataclass(frozen=True, slots=True, order=True)
class Segment:
    timeline: int
    number: int
    size: int  # bytes, of each segment of the cluster

    @classmethod
    def named(cls, name: str, size: int) -> "Segment":
        upper, lower = int(name[8:16], 16), int(name[16:], 16)
        return cls(int(name[:8], 16), upper * (_ALL // size) + lower, size)

    @classmethod
    def at(cls, timeline: int, position: int, size: int) -> "Segment":
        return cls(timeline, position // size, size)

    @property
    def name(self) -> str:
        upper, lower = divmod(self.number, _ALL // self.size)
        return f"{self.timeline:08X}{upper:08X}{lower:08X}"

    @property
    def begins(self) -> int:
        """Returns the position of its first byte."""
        return self.number * self.size

    def later(self, count: int) -> "Segment":
        return replace(self, number=self.number + count)


@dataclass(frozen=True, slots=True, order=True)
class Piece:
    """Some bytes of a segment that is still being written."""

    segment: str
    begins: int  # offset in the segment
    ends: int

    @classmethod
    def named(cls, name: str) -> "Piece | None":
        match = PIECE.fullmatch(name)
        return match and cls(match[1], int(match[2], 16), int(match[3], 16))

    @property
    def name(self) -> str:
        return f"{self.segment}.{self.begins:08x}-{self.ends:08x}"
