"""Task sets: JSON lines, in the form that evaluations of a running model take.

`{"text"}` for perplexity, `{"prompt", "choices", "answer"}` for the likelihood of choices,
`{"prompt", "answer"}` for exact match; one file has one of them.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trainer.refusals import bad_data

LONGEST_LINE, MOST_ITEMS = 1 << 20, 1_000_000


@dataclass(frozen=True, slots=True)
class Item:
    """`right` is the number of a choice; `answers` are the texts that count as right."""

    text: str
    choices: tuple[str, ...] = ()
    right: int = 0
    answers: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class TaskSet:
    kind: str  # perplexity, choices or exact
    items: list[Item]


def read_task_set(path: Path) -> TaskSet:
    """Refuses a file by the number of its first wrong line, never by its text."""
    items: list[Item] = []
    kinds: set[str] = set()
    with path.open("rb") as file:
        for number, line in enumerate(iter(lambda: file.readline(LONGEST_LINE + 1), b""), 1):
            if line.strip():
                kind, item = _item(number, line)
                kinds.add(kind)
                items.append(item)
            if len(kinds) > 1 or len(items) > MOST_ITEMS:
                raise bad_data("mixed_tasks", f"Line {number} is of another kind, or one too many")
    if not items:
        raise bad_data("no_tasks", "The task set has no items")
    return TaskSet(kinds.pop(), items)


def _item(number: int, line: bytes) -> tuple[str, Item]:
    fields = _fields(number, line)
    if "text" in fields:
        return "perplexity", Item(_text(number, fields["text"]))
    prompt = _text(number, fields.get("prompt"))
    if "choices" in fields:
        choices = _texts(number, fields["choices"])
        return "choices", Item(prompt, choices, _right(number, fields.get("answer"), choices))
    answer = fields.get("answer")
    answers = _texts(number, answer if isinstance(answer, list) else [answer])
    return "exact", Item(prompt, answers=answers)


def _fields(number: int, line: bytes) -> dict[str, Any]:
    if len(line) > LONGEST_LINE:
        raise bad_data("long_line", f"Line {number} is longer than 1 MiB")
    try:
        fields = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise bad_data("broken_line", f"Line {number} is no JSON in UTF-8") from error
    if not isinstance(fields, dict):
        raise bad_data("broken_line", f"Line {number} is no JSON object")
    return fields


def _text(number: int, value: object) -> str:
    if not isinstance(value, str) or not value.strip():
        raise bad_data("broken_task", f"Line {number} lacks a text")
    return value.encode(errors="replace").decode()


def _texts(number: int, values: object) -> tuple[str, ...]:
    if not isinstance(values, list) or not 1 <= len(values) <= 100:
        raise bad_data("broken_task", f"Line {number} lacks a list of texts")
    return tuple(_text(number, value) for value in values)


def _right(number: int, answer: object, choices: tuple[str, ...]) -> int:
    if isinstance(answer, str) and answer in choices:
        return choices.index(answer)
    if isinstance(answer, bool) or not isinstance(answer, int) or not 0 <= answer < len(choices):
        raise bad_data("broken_task", f"Line {number} has no answer among its choices")
    return answer
