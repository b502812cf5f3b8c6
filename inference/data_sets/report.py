"""The report of reading a version: figures and codes, no text."""

from array import array
from collections import Counter
from typing import Any

MOST_LISTED = 100  # problems with the number of their line
MOST_PROBLEMS = 10_000  # rows that are left out: after that the file is another thing than it says


class TooManyProblems(Exception):
    """Nearly nothing of the source can be used."""


class ImportReport:
    def __init__(self) -> None:
        self._problems: Counter[str] = Counter()
        self._listed: list[dict[str, Any]] = []
        self._lengths = array("I")  # characters of each row
        self.read = 0

    def kept(self, length: int) -> None:
        self.read += 1
        self._lengths.append(length)

    def left_out(self, line: int, code: str) -> None:
        """Count a row that is left out. Raises TooManyProblems."""
        self.read += 1
        self._problems[code] += 1
        if len(self._listed) < MOST_LISTED:
            self._listed.append({"line": line, "code": code})
        if self._problems.total() > max(MOST_PROBLEMS, len(self._lengths)):
            raise TooManyProblems

    def skipped(self, code: str, number: int = 1) -> None:
        """Count what is no problem: files that are no pages, rows of erased people."""
        self._problems[code] += number

    def as_json(self, **figures: Any) -> dict[str, Any]:
        return {
            "read": self.read,
            "left_out": dict(self._problems),
            "problems": self._listed,
            "characters": self._spread(),
            **figures,
        }

    def _spread(self) -> dict[str, int]:
        """Returns sum, median, 90th percentile and maximum of the rows' lengths."""
        if not self._lengths:
            return {}
        ordered = sorted(self._lengths)
        last = len(ordered) - 1
        middle, most = ordered[last // 2], ordered[last * 9 // 10]
        return {"sum": sum(ordered), "median": middle, "p90": most, "max": ordered[-1]}
