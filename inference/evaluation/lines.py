"""Reads and writes the JSONL of a task set.

A refusal names the lines that are wrong, never their text.
"""

from collections.abc import Iterable, Iterator
from typing import Any

import orjson
from django.utils.translation import gettext as _

from inference.evaluation.content import Item, Kind

LARGEST, LONGEST_LINE = 1_000_000, 64 * 1024  # bytes; a form of the console takes a mebibyte
MOST_ITEMS, MOST_CHOICES, MOST_MESSAGES, LONGEST_GROUP = 10_000, 20, 50, 60
MOST_SHOWN = 20  # problems in one refusal
ROLES = ("system", "developer", "user", "assistant")
_FIELDS = {
    Kind.PERPLEXITY: {"text"},
    Kind.CHOICES: {"prompt", "choices", "answer"},
    Kind.EXACT: {"prompt", "messages", "answer"},
    Kind.AGREEMENT: {"prompt", "messages"},
}
_COMMON = {"id", "group"}


class BadLines(ValueError):
    """The file is no task set. `problems`: numbers of lines, from 1, and what is wrong."""

    def __init__(self, problems: list[tuple[int, str]]) -> None:
        self.problems = problems
        super().__init__(" ".join(_("Line %d: %s") % problem for problem in problems))


class _Wrong(ValueError):
    pass


def items_in(data: bytes, kind: str) -> list[Item]:
    """Returns the items of a file. Raises BadLines."""
    if len(data) > LARGEST:
        raise BadLines([(1, _("the file is larger than %d bytes.") % LARGEST)])
    items, problems = list[Item](), list[tuple[int, str]]()
    for number, line in _lines(data):
        try:
            items.append(_item(line, Kind(kind)))
        except _Wrong as problem:
            problems.append((number, str(problem)))
        if len(problems) == MOST_SHOWN:
            break
    if not problems and not 1 <= len(items) <= MOST_ITEMS:
        problems = [(1, _("a task set has 1 to %d items.") % MOST_ITEMS)]
    if problems:
        raise BadLines(problems)
    return items


def as_lines(items: Iterable[Item]) -> bytes:
    """Returns a file with the items, for a program that reads task sets."""
    return b"".join(orjson.dumps(_fields_of(item)) + b"\n" for item in items)


def _fields_of(item: Item) -> dict[str, Any]:
    if item.text:
        return {"text": item.text}
    question = {"messages": item.messages} if item.messages else {"prompt": item.prompt}
    if item.choices:
        return {**question, "choices": item.choices, "answer": item.right}
    return {**question, "answer": item.answers} if item.answers else question


def _lines(data: bytes) -> Iterator[tuple[int, bytes]]:
    for number, line in enumerate(data.removeprefix(b"\xef\xbb\xbf").split(b"\n"), 1):
        if line.strip():
            yield number, line


def _item(line: bytes, kind: Kind) -> Item:
    """Returns the item of a line. Raises _Wrong."""
    if len(line) > LONGEST_LINE:
        raise _Wrong(_("it is longer than %d bytes.") % LONGEST_LINE)
    fields = _object(line)
    unknown = fields.keys() - _FIELDS[kind] - _COMMON
    if unknown:
        raise _Wrong(_("this kind has no field %s.") % ", ".join(sorted(unknown))[:200])
    group = _text(fields, "group", LONGEST_GROUP) if fields.get("group") else ""
    if kind == Kind.PERPLEXITY:
        return Item(text=_text(fields, "text"), group=group)
    if kind == Kind.CHOICES:
        choices = _choices(fields)
        right = _right(fields.get("answer"), choices)
        return Item(prompt=_text(fields, "prompt"), choices=choices, right=right, group=group)
    answers = _answers(fields) if kind == Kind.EXACT else []
    if fields.get("messages") is not None:
        return Item(messages=_messages(fields), answers=answers, group=group)
    return Item(prompt=_text(fields, "prompt"), answers=answers, group=group)


def _object(line: bytes) -> dict[str, Any]:
    try:
        line.decode()
        fields = orjson.loads(line)
    except UnicodeDecodeError:
        raise _Wrong(_("it is not UTF-8.")) from None
    except orjson.JSONDecodeError:
        raise _Wrong(_("it is not JSON.")) from None
    if not isinstance(fields, dict):
        raise _Wrong(_("it is no JSON object."))
    return fields


def _text(fields: dict[str, Any], name: str, longest: int = LONGEST_LINE) -> str:
    value = fields.get(name)
    if not (isinstance(value, str) and value.strip()) or "\0" in value or len(value) > longest:
        raise _Wrong(_("`%s` must be a text.") % name)
    return value


def _choices(fields: dict[str, Any]) -> list[str]:
    choices = fields.get("choices")
    fits = isinstance(choices, list) and 2 <= len(choices) <= MOST_CHOICES
    if not fits or not all(isinstance(each, str) and each.strip() for each in choices or ()):
        raise _Wrong(_("`choices` must be 2 to %d texts.") % MOST_CHOICES)
    assert choices
    if len(set(choices)) < len(choices):
        raise _Wrong(_("two `choices` are the same."))
    return list(choices)


def _right(answer: Any, choices: list[str]) -> int:
    if isinstance(answer, str) and answer in choices:
        return choices.index(answer)
    is_index = isinstance(answer, int) and not isinstance(answer, bool)
    if not is_index or not 0 <= answer < len(choices):
        raise _Wrong(_("`answer` must be one of the choices, or its number from 0."))
    return int(answer)


def _answers(fields: dict[str, Any]) -> list[str]:
    answer = fields.get("answer")
    answers = [answer] if isinstance(answer, str) else answer
    fits = isinstance(answers, list) and 1 <= len(answers) <= MOST_CHOICES
    if not fits or not all(isinstance(each, str) and each.strip() for each in answers or ()):
        raise _Wrong(_("`answer` must be a text, or up to %d texts.") % MOST_CHOICES)
    assert answers
    return list(answers)


def _messages(fields: dict[str, Any]) -> list[dict[str, str]]:
    messages = fields["messages"]
    if not isinstance(messages, list) or not 1 <= len(messages) <= MOST_MESSAGES:
        raise _Wrong(_("`messages` must be 1 to %d messages.") % MOST_MESSAGES)
    if not all(map(_is_message, messages)) or messages[-1]["role"] != "user":
        raise _Wrong(_("each message has a `role` and a `content`; the last one is a user's."))
    return [{"role": each["role"], "content": each["content"]} for each in messages]


def _is_message(value: Any) -> bool:
    fits = isinstance(value, dict) and value.keys() == {"role", "content"}
    return fits and value["role"] in ROLES and isinstance(value["content"], str)
