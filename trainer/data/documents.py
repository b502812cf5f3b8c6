"""Documents of a data set, in a stream: JSON lines, paragraphs of texts, sections of Markdown."""

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import BinaryIO

from trainer.data.lines import Line, lines
from trainer.data.records import Fault, Record, parsed, plain
from trainer.data.sources import LINES, MARKDOWN, Source

LONGEST_TEXT = 16_000  # letters of a document from a text
LEAST_TEXT = 40  # a heading alone is no document
_HEADING, _FENCE = re.compile(r"#{1,6}\s"), re.compile(r"\s{0,3}(```|~~~)")


@dataclass(frozen=True, slots=True)
class Document:
    """A record and where it begins, or a fault in its place."""

    source: int
    line: int
    record: Record | None
    fault: str = ""


def documents(
    file: BinaryIO, source: Source, number: int, form: str, longest: int
) -> Iterator[Document]:
    """Yields the documents of one open file. A form of "auto" goes by the file's name."""
    stream = lines(file, longest)
    if _is_json(source, form):
        some = (line for line in stream if line.text.strip() or line.fault)
        yield from (_of_json(number, line) for line in some)
    elif form == "markdown" or (form == "auto" and source.suffix in MARKDOWN):
        yield from _parts(number, _sections(stream))
    else:
        yield from _parts(number, _paragraphs(stream))


def _is_json(source: Source, form: str) -> bool:
    return form in ("chats", "texts") or (form == "auto" and source.suffix in LINES)


def _of_json(number: int, line: Line) -> Document:
    if line.fault:
        return Document(number, line.number, None, line.fault)
    try:
        return Document(number, line.number, parsed(line.text))
    except Fault as fault:
        return Document(number, line.number, None, fault.code)


def _parts(number: int, parts: Iterable[tuple[int, str, str]]) -> Iterator[Document]:
    for line, text, fault in parts:
        if fault:
            yield Document(number, line, None, fault)
        elif len(text.strip()) >= LEAST_TEXT:
            yield Document(number, line, plain(text.strip() + "\n"))


def _sections(stream: Iterable[Line]) -> Iterator[tuple[int, str, str]]:
    """Cuts at headings that stand outside of code."""
    fenced = False

    def begins(line: Line) -> bool:
        nonlocal fenced
        fenced ^= bool(_FENCE.match(line.text))
        return not fenced and bool(_HEADING.match(line.text))

    return _cut(stream, begins, LEAST_TEXT)


def _paragraphs(stream: Iterable[Line]) -> Iterator[tuple[int, str, str]]:
    """Cuts at empty lines, and joins short paragraphs."""
    return _cut(stream, lambda line: not line.text.strip(), 2000)


def _cut(
    stream: Iterable[Line], begins: Callable[[Line], bool], least: int
) -> Iterator[tuple[int, str, str]]:
    """Yields (first line, text, fault); a text is cut where it is long enough, or too long."""
    start, held, size = 1, list[str](), 0
    for line in stream:
        if line.fault:
            yield start, "\n".join(held), ""
            yield line.number, "", line.fault
            start, held, size = line.number + 1, [], 0
            continue
        if (begins(line) and size >= least) or size + len(line.text) > LONGEST_TEXT:
            yield start, "\n".join(held), ""
            start, held, size = line.number, [], 0
        held.append(line.text)
        size += len(line.text) + 1
    yield start, "\n".join(held), ""
