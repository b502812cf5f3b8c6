"""Writes docs/parameters.md from the tables that validate: `python docs/write_parameters.py`.

A test compares them (tests/inference/validation/test_parameters.py).
"""

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
django.setup()

# Django is set up before these.
from docs.field_tables import values  # noqa: E402
from inference.engines.base import Engine  # noqa: E402
from inference.engines.fields import (  # noqa: E402
    CHAT,
    HINTS,
    SERVICE,
    TEXT,
    FieldRule,
)
from inference.engines.kind_samples import SERVICE_NAME, samples  # noqa: E402

PAGE = Path(__file__).with_name("parameters.md")
PASSED, CHECKED, REFUSES = "yes", "checked", "400"
COMMON = (PASSED, CHECKED, REFUSES)
# Parameters of OpenAI's reference that no engine gets.
REFUSED = {
    "audio": "no model here speaks",
    "function_call": "deprecated by OpenAI: `tool_choice`",
    "functions": "deprecated by OpenAI: `tools`",
    "web_search_options": "nothing here searches the web",
}
Row = tuple[str, str]  # values, engines
_HEAD = """# Parameters

<!-- Written by docs/write_parameters.py from inference/engines/: change it there. -->

Each parameter is passed on, checked or refused, by the kind of the model's [engines](engines.md).
OpenAI is the kind `openai` at [OpenAI's own hosts](engines.md#openai).

| engines | |
|---|---|
| all | every engine gets it, or Forebay does what it says |
| names | these kinds get it; others refuse it (400), unless the cell says otherwise |
| checked | the listed values are accepted without effect; any other is a 400 |
| 400 | refused |

`null` leaves a parameter out. A model that cannot take what a parameter asks for (tools, JSON
schemas, logprobs) refuses it with `unsupported_value`.
"""
_NOTES = """
- **Names of users**: OpenAI gets `user`, `safety_identifier` and `prompt_cache_key` as pseudonyms,
  the same for a tenant's name each time. DeepSeek gets one for each tenant.
- **`n`**: [several answers](inference-api.md#several-answers-n-several-prompts).
- **`moderation`** is refused unless all pools of the model are at OpenAI, so no failover drops it.
- **`service_tier`**: use [`x-forebay-class`](inference-api.md#class-of-work-x-forebay-class).
- **`tool_choice`** names one of `tools`; `required` needs some.
- **`strict`: true** of a JSON schema or a function: llama.cpp refuses a schema that its grammar
  cannot enforce (`minimum` of a `number`, `uniqueItems`, `not`, `oneOf`, a format other than
  `date`, `time`, `date-time` and `uuid` …) and names the word. Without `strict` it is a hint.
"""


def written() -> tuple[Path, str]:
    """Returns the page and what it has to say."""
    return PAGE, "\n".join(_lines())


def _lines() -> Iterator[str]:
    columns = dict(_columns())
    chat = dict(
        _rows(columns, CHAT.keys() | HINTS.keys() | SERVICE.keys() | set(REFUSED), chat=True)
    )
    text = dict(_rows(columns, TEXT.keys() | HINTS.keys(), chat=False))
    yield _HEAD
    yield "## `POST /v1/chat/completions`\n"
    yield from _table(chat)
    yield _NOTES
    yield "## `POST /v1/completions`\n"
    alike = [name for name, row in text.items() if chat.get(name) == row]
    yield f"The same as for chats: {', '.join(f'`{name}`' for name in alike)}.\n"
    yield from _table({name: row for name, row in text.items() if name not in alike})
    yield "\n## Beyond OpenAI's parameters\n"
    yield "These hold for chats and, where the engine knows them there, for completions.\n"
    yield from _table(dict(_rows(columns, _own(columns.values()), chat=True)))
    yield "\nOthers: [embeddings](api/embeddings.md#request), [rankings](api/rerank.md#request),"
    yield "[tokens](inference-api.md#tokens-of-a-prompt).\n"


def _columns() -> Iterator[tuple[str, Engine]]:
    for name, engine in samples().items():
        yield (name if name == SERVICE_NAME else f"`{name}`"), engine


def _own(engines: Iterable[Engine]) -> set[str]:
    names = {name for engine in engines for name in engine.fields(chat=True)}
    return names - CHAT.keys() - HINTS.keys() - SERVICE.keys() - set(REFUSED)


def _table(rows: dict[str, Row]) -> Iterator[str]:
    """Parameters with the same values and engines share a line."""
    yield "| parameter | values | engines |"
    yield "|---|---|---|"
    for shared in dict.fromkeys(rows.values()):
        names = [f"`{name}`" for name, row in rows.items() if row == shared]
        yield f"| {', '.join(names)} | {' | '.join(shared)} |"


def _rows(
    columns: dict[str, Engine], names: Iterable[str], *, chat: bool
) -> Iterator[tuple[str, Row]]:
    for name in sorted(names):
        rules = {column: e.fields(chat=chat).get(name) for column, e in columns.items()}
        usual = _usual(name, list(rules.values()), chat=chat)
        cells = {column: _cell(name, rule, usual) for column, rule in rules.items()}
        yield name, (_escaped(usual), _engines(cells))


def _engines(cells: dict[str, str]) -> str:
    """Returns the column `engines` of a row, from the cell of each kind."""
    passed, refusing = ([c for c in cells if cells[c] == cell] for cell in (PASSED, REFUSES))
    own = [f"{column}: {cell}" for column, cell in cells.items() if cell not in COMMON]
    if CHECKED in cells.values():
        return "; ".join([*own, *passed, "others checked"] if own or passed else [CHECKED])
    if not refusing:
        return "; ".join(["all", *own])
    if not passed:
        return REFUSES
    few = len(refusing) < len(passed)
    return f"all but {', '.join(refusing)}" if few else ", ".join(passed)


def _usual(name: str, rules: list[FieldRule | None], *, chat: bool) -> str:
    """Returns the values that most kinds take; for what is refused everywhere, why."""
    if name in REFUSED:
        return REFUSED[name]
    common = (CHAT if chat else TEXT).get(name) or HINTS.get(name)
    return values((common or next(rule for rule in rules if rule)).should)


def _cell(name: str, rule: FieldRule | None, usual: str) -> str:
    if rule is None:
        return CHECKED if name in HINTS else REFUSES
    return PASSED if values(rule.should) == usual else _escaped(values(rule.should))


def _escaped(text: str) -> str:
    return text.replace("|", "\\|")


if __name__ == "__main__":
    PAGE.write_text(written()[1])
