"""Writes the tables of docs/api/messages.md that the code has: `python docs/write_messages.py`.

The rest of the page is written by hand. A test compares the tables
(tests/inference/api/anthropic/test_page.py).
"""

import os
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
django.setup()

from inference.api.anthropic.blocks import BLOCKS  # noqa: E402 - after Django is set up
from inference.api.anthropic.fields import FIELDS, NO_EFFECT, REFUSED  # noqa: E402
from inference.api.anthropic.requests import THINKING  # noqa: E402
from inference.api.anthropic.tools import CHOICES, TOOL_FIELDS  # noqa: E402
from inference.engines.fields import FieldRule  # noqa: E402

PAGE = Path(__file__).parent / "api" / "messages.md"
_PLACE = re.compile(r"(<!-- (\w+): from \S+ -->\n).*?(<!-- end -->)", re.DOTALL)


def written() -> tuple[Path, str]:
    """Returns the page and what it has to say."""
    tables = {name: "\n".join(lines) for name, lines in _tables()}
    text = _PLACE.sub(lambda place: f"{place[1]}{tables[place[2]]}\n{place[3]}", PAGE.read_text())
    return PAGE, text


def _tables() -> Iterator[tuple[str, Iterator[str]]]:
    refused = [(name, "refused", reason) for name, reason in REFUSED.items()]
    blocks = ((name, ", ".join(block.roles), block.effect) for name, block in BLOCKS.items())
    yield "fields", _table("| field | values | |", [*_listed(FIELDS), *refused])
    yield "thinking", _table("| `thinking.type` | |", THINKING.items())
    yield "tools", _table("| field of a tool | |", TOOL_FIELDS.items())
    yield "choices", _table("| `tool_choice.type` | |", CHOICES.items())
    yield "blocks", _table("| block | in messages of | |", blocks)


def _listed(fields: Mapping[str, tuple[FieldRule, str]]) -> Iterator[tuple[str, str, str]]:
    """Yields name, values and effect; of a field without effect the reason alone."""
    for name, (rule, effect) in fields.items():
        without = effect.startswith(NO_EFFECT)
        yield name, "checked" if without else rule.should, effect.removeprefix(NO_EFFECT)


def _table(head: str, rows: Iterable[tuple[str, ...]]) -> Iterator[str]:
    """Names with the same cells share a row."""
    yield head
    yield "|" + "---|" * (head.count("|") - 1)
    alike = dict[tuple[str, ...], list[str]]()
    for name, *cells in rows:
        alike.setdefault(tuple(cells), []).append(f"`{name}`")
    for shared, names in alike.items():
        yield f"| {', '.join(names)} | {' | '.join(shared)} |"


if __name__ == "__main__":
    PAGE.write_text(written()[1])
