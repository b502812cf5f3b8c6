"""Reads an upload of any format into passages."""

from collections.abc import Iterator
from typing import NamedTuple

from inference.knowledge.reading import cutting, faq, html, markdown
from inference.knowledge.reading.section import Section
from inference.models import DocumentFormat as F
from inference.text_extraction.decoding import decoded
from inference.text_extraction.unreadable import UnreadableDocument

MOST_PASSAGES = 200_000  # of a document


class Reading(NamedTuple):
    passages: list[Section]
    left_out: int  # rows of an FAQ that are no entry


def read(raw: bytes, form: str, name: str) -> Reading:
    """Returns the passages of a document, always the same. Raises UnreadableDocument."""
    passages, left_out = list[Section](), 0
    for section in _sections(raw, form, name):
        if section is None:
            left_out += 1
            continue
        passages += cutting.passages(section)
        if len(passages) > MOST_PASSAGES:
            raise UnreadableDocument("too_many_passages")
    if not passages:
        raise UnreadableDocument("no_entries" if form in (F.FAQ_CSV, F.FAQ_JSONL) else "no_text")
    return Reading(passages, left_out)


def _sections(raw: bytes, form: str, name: str) -> Iterator[Section | None]:
    if form == F.HTML:
        return html.sections(raw, name)
    text = decoded(raw)
    if form == F.MARKDOWN:
        return markdown.sections(text, name)
    if form == F.FAQ_CSV:
        return faq.of_csv(text)
    if form == F.FAQ_JSONL:
        return faq.of_json_lines(text)
    return iter([Section([name], "", text)])


def embedded_text(passage: Section) -> str:
    """Returns what is embedded of a passage: its titles, and its text."""
    return " › ".join(passage.titles) + "\n" + passage.text
