"""A record of a data set: a text, or a chat; anything else has a fault."""

import json
from collections.abc import Callable
from typing import Any

ROLES = {"system", "developer", "user", "assistant", "tool"}
MOST_MESSAGES = 2000
Record = dict[str, Any]


class Fault(Exception):
    """A record that is left out; `code` says why, and quotes nothing."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


def parsed(text: str) -> Record:
    """Returns the record of a line of JSON: `messages`, `prompt` and `completion`, or `text`.

    `person` stays: it says whose the record is, and without it the erasure of one person would
    empty the whole data set (docs/models/data-sets.md).
    """
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise Fault("bad_json") from error
    if not isinstance(value, dict):
        raise Fault("no_object")
    named = value.get("person")
    person = {"person": _sound(named)} if isinstance(named, str) else {}
    return {**_texts(value), **person}


def _texts(value: dict[str, Any]) -> Record:
    if "messages" in value:
        return {"messages": _messages(value["messages"])}
    if "prompt" in value and "completion" in value:
        pair = (("user", value["prompt"]), ("assistant", value["completion"]))
        return {"messages": _messages([{"role": role, "content": each} for role, each in pair])}
    if "text" in value:
        return plain(value["text"])
    raise Fault("no_text")


def plain(text: object) -> Record:
    if not isinstance(text, str):
        raise Fault("no_text")
    if not text.strip():
        raise Fault("empty")
    return {"text": _sound(text)}


def _messages(value: object) -> list[dict[str, str]]:
    if not isinstance(value, list) or not value:
        raise Fault("no_messages")
    if len(value) > MOST_MESSAGES:
        raise Fault("too_many_messages")
    messages = [_message(each) for each in value]
    if not any(each["role"] == "assistant" for each in messages):
        raise Fault("no_assistant")
    return messages


def _message(value: object) -> dict[str, str]:
    role = value.get("role") if isinstance(value, dict) else None
    if not isinstance(value, dict) or not isinstance(role, str) or role not in ROLES:
        raise Fault("bad_role")
    content = value.get("content")
    if isinstance(content, list):
        content = _joined(content)
    if not isinstance(content, str):
        raise Fault("bad_content")
    if role == "assistant" and not content.strip():
        raise Fault("empty")
    return {"role": role, "content": _sound(content)}


def _joined(parts: list[object]) -> str:
    """Returns the text of a content in parts; pictures and sound are none."""
    texts = [part.get("text") for part in parts if isinstance(part, dict)]
    if len(texts) != len(parts) or not all(isinstance(text, str) for text in texts):
        raise Fault("bad_content")
    return "\n".join(str(text) for text in texts)


def _sound(text: str) -> str:
    """Refuses halves of letters, which JSON can write and UTF-8 cannot."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise Fault("wrong_encoding") from error
    if "\0" in text:
        raise Fault("binary")
    return text


def text_of(record: Record) -> str:
    """Returns all texts of a record, one below the other."""
    if "text" in record:
        return str(record["text"])
    return "\n".join(message["content"] for message in record["messages"])


def changed(record: Record, change: Callable[[str], str]) -> Record:
    """Returns the record with each of its texts changed."""
    if "text" in record:
        return {**record, "text": change(record["text"])}
    messages = [each | {"content": change(each["content"])} for each in record["messages"]]
    return {**record, "messages": messages}
