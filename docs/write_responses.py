"""Writes the tables of docs/api/responses.md that the code has: `python docs/write_responses.py`.

The rest of the page is written by hand. A test compares the tables
(tests/inference/api/responses/test_page.py).
"""

import os
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
django.setup()

from inference.api.responses.content import PARTS  # noqa: E402 - after Django is set up
from inference.api.responses.fields import FIELDS, NO_EFFECT, REFUSED  # noqa: E402
from inference.api.responses.items import ITEMS  # noqa: E402
from inference.api.responses.tools import (  # noqa: E402
    CHOICES,
    FIELDS_OF_TOOLS,
    REFUSED_TOOLS,
    TOOLS,
)
from inference.engines.fields import FieldRule  # noqa: E402

PAGE = Path(__file__).parent / "api" / "responses.md"
_PLACE = re.compile(r"(<!-- (\w+): from \S+ -->\n).*?(<!-- end -->)", re.DOTALL)


def written() -> tuple[Path, str]:
    """Returns the page and what it has to say."""
    tables = {name: "\n".join(_table(*table)) for name, table in _tables()}
    text = _PLACE.sub(lambda place: f"{place[1]}{tables[place[2]]}\n{place[3]}", PAGE.read_text())
    return PAGE, text


def _tables() -> Iterator[tuple[str, tuple[str, Iterable[tuple[str, ...]]]]]:
    refused = [(name, "refused", reason) for name, reason in REFUSED.items()]
    parts = [(name, ", ".join(part.roles), part.effect) for name, part in PARTS.items()]
    tools = [(name, f"refused: {reason}") for name, reason in REFUSED_TOOLS.items()]
    yield "fields", ("| field | values | |", [*_listed(FIELDS), *refused])
    yield "items", ("| item | |", ITEMS.items())
    yield "parts", ("| part | in messages of | |", parts)
    yield "tools", ("| type of a tool | |", [*TOOLS.items(), *tools])
    yield "of_tools", ("| field of a tool | |", FIELDS_OF_TOOLS.items())
    yield "choices", ("| `tool_choice` | |", CHOICES.items())


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
