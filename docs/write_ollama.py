"""Writes the tables of docs/api/ollama.md that the code has: `python docs/write_ollama.py`.

The rest of the page is written by hand. A test compares the tables
(tests/inference/api/ollama/test_page.py).
"""

import os
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
django.setup()

from inference.api.ollama import fields  # noqa: E402 - after Django is set up
from inference.api.ollama.options import OPTIONS  # noqa: E402
from inference.engines.fields import FieldRule  # noqa: E402

PAGE = Path(__file__).parent / "api" / "ollama.md"
_PLACE = re.compile(r"(<!-- (\w+): from \S+ -->\n).*?(<!-- end -->)", re.DOTALL)


def written() -> tuple[Path, str]:
    """Returns the page and what it has to say."""
    tables = {name: "\n".join(lines) for name, lines in _tables()}
    text = _PLACE.sub(lambda place: f"{place[1]}{tables[place[2]]}\n{place[3]}", PAGE.read_text())
    return PAGE, text


def _tables() -> Iterator[tuple[str, Iterator[str]]]:
    chat, generate = fields.CHAT, fields.GENERATE
    options = {name: (option.rule, option.effect) for name, option in OPTIONS.items()}
    yield "chat", _table("| field | values | |", _listed(chat))
    own = {name: field for name, field in generate.items() if name not in chat}
    refused = [(name, "refused", why) for name, why in fields.REFUSED.items()]
    yield "generate", _table("| field | values | |", [*_listed(own), *refused])
    yield "embed", _table("| field | values | |", _listed(fields.EMBED | fields.EMBEDDINGS))
    yield "options", _table("| option | values | |", _listed(options))


def _listed(rules: Mapping[str, tuple[FieldRule, str]]) -> Iterator[tuple[str, str, str]]:
    """Yields name, values and effect; of a field without effect the reason alone."""
    for name, (rule, effect) in rules.items():
        without = effect.startswith(fields.NO_EFFECT)
        yield name, "checked" if without else rule.should, effect.removeprefix(fields.NO_EFFECT)


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
