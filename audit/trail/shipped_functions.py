"""The functions of audit/sql as they are shipped, to be compared with those of the database."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

FOLDER = Path(__file__).parents[1] / "sql"
_FUNCTION = re.compile(
    r"create or replace function (?P<name>\w+)\s*\((?P<head>.*?)\bas (?P<quote>\$\w*\$)"
    r"(?P<body>.*?)(?P=quote)(?P<tail>.*?);",
    re.DOTALL,
)
_SETTING = re.compile(r"^set (?P<name>\w+) = (?P<value>.+?)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Function:
    name: str
    body: str
    as_owner: bool  # security definer
    settings: frozenset[str]


@cache
def shipped() -> list[Function]:
    return [one for path in sorted(FOLDER.glob("*.sql")) for one in _parsed(path.read_text())]


def _parsed(text: str) -> Iterator[Function]:
    for found in _FUNCTION.finditer(text):
        how = found["head"] + found["tail"]
        settings = frozenset(setting(*pair) for pair in _SETTING.findall(how))
        yield Function(found["name"], found["body"], "security definer" in how, settings)


def setting(name: str, value: str) -> str:
    """In one spelling, the catalogue's and ours."""
    return f"{name}={value}".lower().replace("'", "").strip()
