"""The functions of audit/sql in their shipped form, for comparison with the database."""

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
    paths = sorted(FOLDER.glob("*.sql"))
    return [function for path in paths for function in _parsed(path.read_text())]


def _parsed(text: str) -> Iterator[Function]:
    for match in _FUNCTION.finditer(text):
        options = match["head"] + match["tail"]
        settings = frozenset(setting(*pair) for pair in _SETTING.findall(options))
        yield Function(match["name"], match["body"], "security definer" in options, settings)


def setting(name: str, value: str) -> str:
    """Returns a setting in one spelling, for the catalogue's and ours."""
    return f"{name}={value}".lower().replace("'", "").strip()
