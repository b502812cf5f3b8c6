"""Rows of a data set: one JSON object a line, a chat or a text, checked and in one form."""

from collections.abc import Callable
from typing import Any, NamedTuple
from uuid import UUID

import orjson

from inference.models import DataSetFormat
from inference.validation import bounded_json

LONGEST_LINE = 4 * 1024 * 1024  # bytes; of a Markdown page too
PERSON, SOURCE = "person", "source"
ROLES = ("system", "developer", "user", "assistant", "tool")
_BESIDE = {PERSON, SOURCE}
_CHAT = {"messages", "tools", "parallel_tool_calls", *_BESIDE}
_TEXT = {"text", *_BESIDE}
FindPerson = Callable[[str], UUID | None]


class BadRow(Exception):
    """A row that is left out. The argument is a code of the report, never a text of the row."""


class Row(NamedTuple):
    subject_id: UUID | None
    line: bytes  # JSON without its person and without a line break


def parse(line: bytes, form: DataSetFormat, find_person: FindPerson) -> Row:
    """Returns the row of a line. Raises BadRow."""
    fields = _fields(line)
    named = fields.pop(PERSON, None)
    (_check_chat if form == DataSetFormat.CHATS else _check_text)(fields)
    if not isinstance(fields.get(SOURCE, ""), str):
        raise BadRow("source_not_text")
    return Row(_person(named, find_person), orjson.dumps(fields))


def page(name: str, text: str) -> Row:
    """Returns the row of a Markdown page. Raises BadRow."""
    if not text.strip():
        raise BadRow("empty")
    return Row(None, orjson.dumps({"text": text, SOURCE: name}))


def with_person(row: Row) -> bytes:
    """Returns the line with its person, for a program that writes rows of them again."""
    if row.subject_id is None:
        return row.line
    return orjson.dumps({**orjson.loads(row.line), PERSON: str(row.subject_id)})


def text_of(line: bytes) -> str:
    """Returns the words of a row: the text, or the messages of a chat with their roles."""
    fields = orjson.loads(line)
    if "text" in fields:
        return str(fields["text"])
    return "\n\n".join(f"{one['role']}: {words(one)}" for one in fields["messages"])


def words(message: dict[str, Any]) -> str:
    content = message.get("content")
    if isinstance(content, list):
        return "\n".join(part["text"] for part in content)
    return content or ""


def _fields(line: bytes) -> dict[str, Any]:
    try:
        line.decode()
    except UnicodeDecodeError:
        raise BadRow("not_utf8") from None
    try:
        fields = bounded_json.shallow(line)
    except bounded_json.TooManyValues:
        raise BadRow("too_many_values") from None
    except ValueError:
        raise BadRow("not_json") from None
    if not isinstance(fields, dict):
        raise BadRow("not_an_object")
    return fields


def _check_text(fields: dict[str, Any]) -> None:
    if fields.keys() - _TEXT:
        raise BadRow("unknown_field")
    text = fields.get("text")
    if not isinstance(text, str) or not text.strip():
        raise BadRow("no_text")


def _check_chat(fields: dict[str, Any]) -> None:
    if fields.keys() - _CHAT:
        raise BadRow("unknown_field")
    messages = fields.get("messages")
    if not isinstance(messages, list) or not messages:
        raise BadRow("no_messages")
    for message in messages:
        _check_message(message)
    if not any(one["role"] == "assistant" and words(one).strip() for one in messages):
        raise BadRow("no_assistant")


def _check_message(message: Any) -> None:
    if not isinstance(message, dict) or message.get("role") not in ROLES:
        raise BadRow("bad_role")
    content = message.get("content")
    if isinstance(content, list) and all(map(_is_text_part, content)):
        return
    if not isinstance(content, str):
        raise BadRow("content_not_text")


def _is_text_part(part: Any) -> bool:
    return (
        isinstance(part, dict) and part.get("type") == "text" and isinstance(part.get("text"), str)
    )


def _person(named: Any, find_person: FindPerson) -> UUID | None:
    if named is None:
        return None
    subject_id = find_person(named) if isinstance(named, str) else None
    if subject_id is None:
        raise BadRow("unknown_person")
    return subject_id
