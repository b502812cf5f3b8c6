"""The plan of drills in a real installation, and what they may break: FOREBAY_DRILLS names it."""

import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta

from console.compliance.drills.kinds import KINDS, Kind

BY_PATRONI = "switch_over"  # needs no commands
_WORDS = ("name", "host", "zone")  # of the primary
Urls = Annotated[list[str], Meta(min_length=1)]
Commands = Annotated[list[Annotated[list[str], Meta(min_length=1)]], Meta(min_length=1)]


class Step(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename={"break_": "break"}):
    """Commands, each a list of words. {name}, {host} and {zone} are those of the primary."""

    break_: Commands
    undo: Commands


class Patroni(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    urls: Urls  # of every server
    username: str = "patroni"
    password_file: str = ""
    zones: dict[str, str] = {}  # of each node


class Plan(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    topology: str
    model: str
    http: Urls
    patroni: Patroni
    grpc: list[str] = []
    chat: bool = False
    clients: Annotated[int, Meta(ge=1, le=20)] = 2  # at each door
    kinds: dict[str, Step] = {}

    @property
    def possible(self) -> list[Kind]:
        names = {*self.kinds, BY_PATRONI}
        return [kind for name, kind in KINDS.items() if name in names]

    def chosen(self, names: Sequence[str]) -> list[Kind]:
        """Returns the kinds of these names, or all. Raises ValueError."""
        possible = {kind.name: kind for kind in self.possible}
        if unknown := [name for name in names if name not in possible]:
            raise ValueError(f"{unknown[0]} is not among {', '.join(possible)}")
        return [possible[name] for name in names or possible]


def read(file: Path) -> Plan:
    """Raises ValueError with what is wrong in the file, OSError where it cannot be read."""
    try:
        plan = msgspec.convert(tomllib.loads(file.read_text()), Plan)
    except (msgspec.ValidationError, tomllib.TOMLDecodeError) as problem:
        raise ValueError(f"{file}: {problem}") from None
    urls = (*plan.http, *plan.patroni.urls)
    if wrong := [url for url in urls if not url.startswith(("http://", "https://"))]:
        raise ValueError(f"{file}: {wrong[0]!r} must begin with http:// or https://")
    if unknown := sorted(set(plan.kinds) - set(KINDS)):
        raise ValueError(f"{file}: there is no drill {unknown[0]!r}; known are {', '.join(KINDS)}")
    if BY_PATRONI in plan.kinds:
        raise ValueError(f"{file}: {BY_PATRONI} takes no commands: Patroni does it")
    for step in plan.kinds.values():
        for command in (*step.break_, *step.undo):
            _require_known_words(file, command)
    return plan


def _require_known_words(file: Path, command: Sequence[str]) -> None:
    try:
        filled(command, dict.fromkeys(_WORDS, ""))
    except (LookupError, ValueError, AttributeError):
        known = ", ".join(f"{{{word}}}" for word in _WORDS)
        raise ValueError(
            f"{file}: {' '.join(command)!r}: known are {known}; other braces are doubled"
        ) from None


def filled(command: Sequence[str], values: Mapping[str, str]) -> list[str]:
    return [word.format_map(values) for word in command]
