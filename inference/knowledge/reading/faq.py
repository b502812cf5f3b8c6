"""Questions with their answers, as CSV or JSON lines: each is a section of its own.

An entry has `question` and `answer`, and may have `url`, the page where it stands. A row that is no
entry is left out, and counted.
"""

import csv
import io
from collections.abc import Iterator
from typing import Any

import orjson

from inference.knowledge.reading.section import Section, shortened
from inference.text_extraction.unreadable import UnreadableDocument

_NAMES = {"question": "question", "answer": "answer", "url": "url"}
_NAMES |= {"问题": "question", "答案": "answer", "回答": "answer", "链接": "url"}
LONGEST_LINE = 1024 * 1024  # characters of an entry
LONGEST_URL = 1_000
csv.field_size_limit(LONGEST_LINE)
Entry = Section | None  # None: the row is none


def of_csv(text: str) -> Iterator[Entry]:
    """Yields the entries of a table with a header. Raises UnreadableDocument."""
    rows = csv.reader(io.StringIO(text), delimiter=_delimiter(text))
    try:
        header = [_NAMES.get(name.strip().lower(), name) for name in next(rows, [])]
        if not {"question", "answer"} <= set(header):
            raise UnreadableDocument("faq_header")
        for row in rows:
            if any(cell.strip() for cell in row):
                yield _entry(dict[str | Any, Any](zip(header, row, strict=False)))
    except csv.Error:
        raise UnreadableDocument("csv") from None


def _delimiter(text: str) -> str:
    """Returns the sign that its first line has most of."""
    first = text.partition("\n")[0]
    return max(",;\t", key=first.count)


def of_json_lines(text: str) -> Iterator[Entry]:
    for line in text.split("\n"):
        if line.strip():
            yield _entry(_parsed(line))


def _parsed(line: str) -> dict[str, Any]:
    try:
        fields = orjson.loads(line) if len(line) <= LONGEST_LINE else None
    except orjson.JSONDecodeError:
        return {}
    if not isinstance(fields, dict):
        return {}
    return {_NAMES.get(str(name), str(name)): value for name, value in fields.items()}


def _entry(fields: dict[str, Any]) -> Entry:
    question, answer = fields.get("question"), fields.get("answer")
    if not (isinstance(question, str) and isinstance(answer, str)):
        return None
    if not (question.strip() and answer.strip()):
        return None
    return Section([shortened(question)], "", answer.strip(), _address(fields.get("url")))


def _address(url: Any) -> str:
    """Returns the address of a web page; "" for anything else."""
    is_one = isinstance(url, str) and url.strip().startswith(("https://", "http://"))
    return url.strip() if is_one and len(url) <= LONGEST_URL else ""
