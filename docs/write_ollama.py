"""Writes the tables of docs/api/ollama.md that the code has: `python docs/write_ollama.py`.

The rest of the page is written by hand. A test compares the tables
(tests/inference/api/ollama/test_page.py).
"""

import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
django.setup()

from inference.api.ollama import fields  # noqa: E402 - after Django is set up
from inference.api.ollama.fields import Field  # noqa: E402
from inference.api.ollama.options import OPTIONS  # noqa: E402

PAGE = Path(__file__).parent / "api" / "ollama.md"
_PLACE = re.compile(r"(<!-- (\w+): from \S+ -->\n).*?(<!-- end -->)", re.DOTALL)


def written() -> tuple[Path, str]:
    """Returns the page and what it has to say."""
    tables = {name: "\n".join(lines) for name, lines in _tables()}
    text = _PLACE.sub(lambda place: f"{place[1]}{tables[place[2]]}\n{place[3]}", PAGE.read_text())
    return PAGE, text


def _tables() -> Iterator[tuple[str, Iterator[str]]]:
    chat, generate = fields.CHAT, fields.GENERATE
    options = [(name, option.rule.should, option.effect) for name, option in OPTIONS.items()]
    yield "chat", _table("| field | values | |", _rows(chat))
    own = {name: field for name, field in generate.items() if name not in chat}
    refused = [(name, "", f"refused: {why}") for name, why in fields.REFUSED.items()]
    yield "generate", _table("| field | values | |", [*_rows(own), *refused])
    yield "embed", _table("| field | values | |", _rows(fields.EMBED | fields.EMBEDDINGS))
    yield "options", _table("| option | values | |", options)


def _rows(listed: dict[str, Field]) -> list[tuple[str, str, str]]:
    return [(name, rule.should, effect) for name, (rule, effect) in listed.items()]


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
