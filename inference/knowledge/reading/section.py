"""A section of a document: what stands between two headings."""

from typing import NamedTuple

LONGEST_TITLE = 200


class Section(NamedTuple):
    titles: list[str]  # of the headings above it, the document's first
    anchor: str  # behind `#` in the page's address; "" at its beginning
    text: str
    url: str = ""  # of an entry that has a page of its own


class Outline:
    """The headings above the present place of a page that is read from its beginning."""

    def __init__(self, title: str) -> None:
        self._fallback = shortened(title)
        self._open: list[tuple[int, str]] = []  # level and title

    def enter(self, level: int, title: str) -> None:
        while self._open and self._open[-1][0] >= level:
            self._open.pop()
        if title := shortened(title):
            self._open.append((level, title))

    @property
    def titles(self) -> list[str]:
        return [title for _level, title in self._open] or [self._fallback]


def shortened(title: str) -> str:
    """Returns a title in one line, cut off where it is very long."""
    title = " ".join(title.split())
    return title if len(title) <= LONGEST_TITLE else f"{title[: LONGEST_TITLE - 1]}…"
