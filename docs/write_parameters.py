"""Writes docs/parameters.md from the tables that validate: `python docs/write_parameters.py`.

A test compares them (tests/inference/validation/test_parameters.py).
"""

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
django.setup()

from inference.engines import KINDS  # noqa: E402 - after Django is set up
from inference.engines.base import Engine, EngineConfig  # noqa: E402
from inference.engines.fields import CHAT, HINTS, SERVICE, TEXT, Rule  # noqa: E402

PAGE = Path(__file__).with_name("parameters.md")
SERVICE_NAME = "OpenAI"
PASSED, CHECKED, REFUSES = "yes", "checked", "400"
# Parameters of OpenAI's reference that no engine gets.
REFUSED = {
    "audio": "no model here speaks",
    "function_call": "deprecated by OpenAI: `tool_choice`",
    "functions": "deprecated by OpenAI: `tools`",
    "web_search_options": "nothing here searches the web",
}
_HEAD = """# Parameters

<!-- Written by docs/write_parameters.py from inference/engines/: change it there. -->

What becomes of each parameter, by the kind of the model's engines
([engines.md](engines.md)). The column OpenAI is the kind `openai` at OpenAI's own hosts
(`api.openai.com`, `*.openai.azure.com`, `*.services.ai.azure.com`).

| in a cell | |
|---|---|
| yes | the engine gets it, or Forebay does what it says |
| checked | the values in the second column are taken and change nothing; any other is a 400 |
| 400 | the request is refused with the parameter's name |

A value of `null` is as if the parameter were left out. A model that cannot take what a parameter
asks for (tools, JSON schemas, logprobs) refuses it with the code `unsupported_value`.
"""
_NOTES = """
- **Limits.** A chat at OpenAI gets `max_completion_tokens`, all others `max_tokens`, whichever of
  the two a client sends.
- **Names of users.** At OpenAI `user`, `safety_identifier` and `prompt_cache_key` arrive as
  pseudonyms, the same for a tenant's name each time. DeepSeek gets one for each tenant.
- **`moderation`** is refused unless all pools of the model are at OpenAI, so no failover drops it.
- **`service_tier`**: the header [`x-forebay-class`](inference-api.md#class-of-work-x-forebay-class)
  says who goes first.
- **`store`**: what the [audit trail](audit.md) keeps is not fetched with it.
- **`tool_choice`**: a name must be that of one of `tools`, and `required` needs some.
- **`strict`: true** of a JSON schema or a function: on llama.cpp a schema that its grammar cannot
  enforce (`minimum` of a `number`, `uniqueItems`, `not`, `oneOf`, a format other than `date`,
  `time`, `date-time` and `uuid` …) is a 400 that names the word. Without `strict` it is a hint.
- **An assistant's refusals** (`refusal`, parts of the type `refusal`) are text for every engine
  but OpenAI's.
"""


def written() -> tuple[Path, str]:
    """Returns the page and what it has to say."""
    return PAGE, "\n".join(_lines())


def _lines() -> Iterator[str]:
    yield _HEAD
    columns = dict(_columns())
    for chat, path, common in (
        (True, "POST /v1/chat/completions", CHAT),
        (False, "POST /v1/completions", TEXT),
    ):
        yield f"## `{path}`\n"
        names = common.keys() | HINTS.keys() | (SERVICE.keys() | REFUSED.keys() if chat else set())
        yield from _table(columns, names, chat=chat)
        yield _NOTES if chat else ""
    yield "## Beyond OpenAI's parameters\n"
    yield "For chats and, where the engine knows them there, for completions.\n"
    yield from _table(columns, _own(columns.values()), chat=True)
    yield ""


def _columns() -> Iterator[tuple[str, Engine]]:
    for name, kind in KINDS.items():
        yield f"`{name}`", kind(EngineConfig("m", name, "http://engine/v1", "m"))
    url = "https://api.openai.com/v1"
    yield SERVICE_NAME, KINDS["openai"](EngineConfig("m", "openai", url, "m", hosted=True))


def _own(engines: Iterable[Engine]) -> set[str]:
    names = {name for engine in engines for name in engine.fields(chat=True)}
    return names - CHAT.keys() - HINTS.keys() - SERVICE.keys() - set(REFUSED)


def _table(columns: dict[str, Engine], names: Iterable[str], *, chat: bool) -> Iterator[str]:
    yield "| parameter | values | " + " | ".join(columns) + " |"
    yield "|---" * (len(columns) + 2) + "|"
    for name in sorted(names):
        rules = [engine.fields(chat=chat).get(name) for engine in columns.values()]
        usual = _usual(name, rules, chat=chat)
        cells = [_cell(name, rule, usual) for rule in rules]
        yield f"| `{name}` | {_escaped(usual)} | " + " | ".join(cells) + " |"


def _usual(name: str, rules: list[Rule | None], *, chat: bool) -> str:
    """Returns the values that most kinds take; for what is refused everywhere, why."""
    if name in REFUSED:
        return REFUSED[name]
    common = (CHAT if chat else TEXT).get(name) or HINTS.get(name)
    return (common or next(rule for rule in rules if rule)).should


def _cell(name: str, rule: Rule | None, usual: str) -> str:
    if rule is None:
        return CHECKED if name in HINTS else REFUSES
    return PASSED if rule.should == usual else _escaped(rule.should)


def _escaped(text: str) -> str:
    return text.replace("|", "\\|")


if __name__ == "__main__":
    PAGE.write_text(written()[1])
