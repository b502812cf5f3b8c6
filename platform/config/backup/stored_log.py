"""The write-ahead log in the repository, as a restore asks for it."""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field

from config.backup.bases import StoredBase
from config.backup.storage.repository import Repository
from config.backup.write_ahead_log.positions import HISTORY, SEGMENT, Piece, Segment, position
from config.backup.write_ahead_log.shipping import contiguous


@dataclass(slots=True)
class StoredLog:
    repository: Repository
    names: frozenset[str]  # whole segments and timeline histories
    pieces: dict[str, list[Piece]] = field(default_factory=dict)

    @classmethod
    def read(cls, repository: Repository) -> "StoredLog":
        """Raises StoreError."""
        log = cls(repository, frozenset())
        log._list()
        return log

    def _list(self) -> None:
        names = self.repository.names("wal")
        pieces: defaultdict[str, list[Piece]] = defaultdict(list)
        for piece in filter(None, map(Piece.named, names)):
            pieces[piece.segment].append(piece)
        self.names = frozenset(name for name in names if not Piece.named(name))
        self.pieces = pieces

    def get(self, name: str, segment_bytes: int) -> bytes | None:
        """Returns a segment or a history; None if there is none. Raises StoreError, Unreadable.

        A segment of pieces ends with zeros, where PostgreSQL takes its log for ended.
        """
        try:
            return self._get(name, segment_bytes)
        except FileNotFoundError:  # a running platform has put one object in the place of pieces
            self._list()
            return self._get(name, segment_bytes)

    def _get(self, name: str, segment_bytes: int) -> bytes | None:
        if name in self.names:
            return self.repository.get(f"wal/{name}")
        pieces = sorted(self.pieces.get(name, ()))
        content = bytearray(segment_bytes)
        for piece in pieces:
            if piece.begins <= contiguous(pieces):
                content[piece.begins : piece.ends] = self.repository.get(f"wal/{piece.name}")
        return bytes(content) if contiguous(pieces) else None

    def newest_timeline(self, base: StoredBase) -> int:
        """Returns the last timeline that goes on from this base. Raises StoreError, Unreadable.

        One that left the base's timeline before the base was made is a restored copy's.
        """
        histories = sorted(name for name in self.names if HISTORY.fullmatch(name))
        for name in reversed(histories):
            timeline = int(name.partition(".")[0], 16)
            if self._branches(timeline).get(base.timeline, -1) >= base.ends:
                return timeline
        return base.timeline

    def end(self, base: StoredBase) -> int:
        """Returns the position after the last byte that is stored of what follows a base."""
        return max((end for _, end in self._following(base)), default=0)

    def missing_since(self, base: StoredBase) -> list[int]:
        """Returns numbers of segments after the base that nobody stored, though later ones were."""
        stored = {segment.number for segment, _ in self._following(base)}
        needed = range(base.last_segment.number + 1, max(stored, default=0))
        return [number for number in needed if number not in stored]

    def _following(self, base: StoredBase) -> Iterator[tuple[Segment, int]]:
        """Returns stored segments of the timelines that a restore follows, and where each ends.

        A timeline that was left, for an earlier moment, does not count beyond that point.
        """
        newest = self.newest_timeline(base)
        branches = self._branches(newest) if newest != base.timeline else {}
        for segment, end in self._segments(base.segment_bytes):
            if segment.timeline == newest or end <= branches.get(segment.timeline, 0):
                yield segment, end

    def _segments(self, segment_bytes: int) -> Iterator[tuple[Segment, int]]:
        for name in filter(_is_segment, self.names):
            segment = Segment.named(name, segment_bytes)
            yield segment, segment.later(1).begins
        for name, pieces in self.pieces.items():
            segment = Segment.named(name, segment_bytes)
            yield segment, segment.begins + contiguous(pieces)

    def before(self, base: StoredBase) -> list[str]:
        """Returns the names of stored segments and pieces that no restore from this base reads."""
        first = base.first_segment.number
        pieces = {name: [piece.name for piece in pieces] for name, pieces in self.pieces.items()}
        segments = {name: [name] for name in self.names if _is_segment(name)}
        return [
            object_name
            for group in (pieces, segments)
            for name, object_names in group.items()
            if Segment.named(name, base.segment_bytes).number < first
            for object_name in object_names
        ]

    def _branches(self, timeline: int) -> dict[int, int]:
        """Returns the position at which each timeline before this one was left."""
        history = self.repository.get(f"wal/{timeline:08X}.history").decode()
        lines = [line.split() for line in history.splitlines()]
        fields = (line for line in lines if len(line) >= 2 and line[0].isdecimal())
        return {int(line[0]): position(line[1]) for line in fields}


def _is_segment(name: str) -> bool:
    return bool(SEGMENT.fullmatch(name))
