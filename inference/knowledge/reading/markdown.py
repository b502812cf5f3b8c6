"""Sections of a Markdown page. Their anchors are those that GitHub and most programs make."""

import re
from collections import Counter
from collections.abc import Iterator

from markdown_it import MarkdownIt

from inference.knowledge.reading.section import Outline, Section

_FRONT_MATTER = re.compile(r"\A---\n.{0,20000}?\n(---|\.\.\.)\n", re.DOTALL)
_LINK = re.compile(r"!?\[([^\]]*)\]\([^)]*\)")
_MARKS = re.compile(r"[`*_~]+|<[^>]{0,200}>")
LONGEST_HEADING = 2_000  # characters; searching it for links takes their square
_NO_SLUG = re.compile(r"[^\w\- ]")
_blocks = MarkdownIt("commonmark").enable("table")
_blocks.core.ruler.enableOnly(["normalize", "block"])  # what stands in a line stays as it is


def sections(text: str, name: str) -> Iterator[Section]:
    """Yields the sections of a page. `name` is its title where it has no heading."""
    text = _FRONT_MATTER.sub("", text)
    lines, outline, slugs = text.split("\n"), Outline(name), Counter[str]()
    start, anchor = 0, ""
    for level, title, first, last in _headings(text):
        yield Section(outline.titles, anchor, "\n".join(lines[start:first]).strip())
        outline.enter(level, title)
        start, anchor = last, _anchor(title, slugs)
    yield Section(outline.titles, anchor, "\n".join(lines[start:]).strip())


def _headings(text: str) -> Iterator[tuple[int, str, int, int]]:
    """Yields level, title, and the lines of each heading: the first, and the one behind it."""
    tokens = _blocks.parse(text)
    for number, token in enumerate(tokens):
        if token.type == "heading_open" and token.level == 0 and token.map:
            title = _plain(tokens[number + 1].content)
            yield int(token.tag[1:]), title, token.map[0], token.map[1]


def _plain(title: str) -> str:
    title = title[:LONGEST_HEADING]
    return _MARKS.sub("", _LINK.sub(r"\1", title)).strip()


def _anchor(title: str, slugs: Counter[str]) -> str:
    slug = _NO_SLUG.sub("", title.lower()).replace(" ", "-")
    slugs[slug] += 1
    return slug if slugs[slug] == 1 else f"{slug}-{slugs[slug] - 1}"
