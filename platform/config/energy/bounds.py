"""The bounds of the energy agent: which GPUs it may lock, from which to which clock, and for whom.

They are a TOML file that only root can write (docs/operations/energy.md):

    users = ["forebay"]     # names or numbers of users who may send requests
    dry_run = true          # the default: say what would be done, and do nothing

    [gpus."0"]              # NVML's index, or a UUID ("GPU-…")
    lowest_mhz = 900
    highest_mhz = 1980
"""

import os
import pwd
import stat
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

SLOWEST_MHZ, FASTEST_MHZ = 100, 5000
_OTHERS_MAY_WRITE = stat.S_IWGRP | stat.S_IWOTH


class BadBounds(Exception):
    """The file is missing, wrong, or not the owner's alone."""


class Range(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    lowest_mhz: int
    highest_mhz: int

    def __post_init__(self) -> None:
        if not SLOWEST_MHZ <= self.lowest_mhz <= self.highest_mhz <= FASTEST_MHZ:
            raise ValueError(f"clocks must rise from {SLOWEST_MHZ} to {FASTEST_MHZ} MHz at most")

    def __contains__(self, mhz: int) -> bool:
        return self.lowest_mhz <= mhz <= self.highest_mhz


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    users: list[str | int]
    gpus: dict[str, Range]
    dry_run: bool = True


@dataclass(frozen=True, slots=True)
class Bounds:
    gpus: Mapping[str, Range]
    users: frozenset[int]  # their numbers
    dry_run: bool = field(default=True)


def read(path: Path, owner: int = 0) -> Bounds:
    """Read the file, which must be `owner`'s and writable by nobody else. Raises BadBounds."""
    try:
        parsed = msgspec.convert(_parsed(path, owner), _File)
        users = frozenset(map(_user, parsed.users))
    except (OSError, ValueError, RecursionError) as problem:
        raise BadBounds(f"{path}: {problem}") from None
    if not parsed.gpus or not users:
        raise BadBounds(f"{path}: it must name a user and a GPU at least")
    return Bounds(parsed.gpus, users, parsed.dry_run)


def _parsed(path: Path, owner: int) -> Mapping[str, Any]:
    with path.open("rb") as file:
        state = os.fstat(file.fileno())  # of what is read, not of what has the name by then
        if not stat.S_ISREG(state.st_mode):
            raise ValueError("it is not a file")
        if state.st_uid != owner:
            raise ValueError(f"it belongs to user {state.st_uid}, not to {owner}")
        if state.st_mode & _OTHERS_MAY_WRITE:
            raise ValueError("others than its owner may write it: chmod go-w")
        return tomllib.load(file)


def _user(name: str | int) -> int:
    if isinstance(name, int):
        return name
    try:
        return pwd.getpwnam(name).pw_uid
    except KeyError:
        raise ValueError(f"there is no user {name!r}") from None
