"""The stores that hold something of a person. Who has one registers it, in its app's `ready()`.

Every act may run any number of times: after a crash, and after a backup brought things back.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from typing import Any
from uuid import UUID

from django.utils.functional import Promise

Evidence = dict[str, Any]  # fit for JSON; numbers add up when a store has to be gone through again


class Turn(IntEnum):
    """When a store has its turn: what runs ends first, what leads to all the others goes last."""

    RUNNING = 1
    KEYS = 2
    CONTENT = 3
    RECIPIENTS = 4
    WHO = 5


@dataclass(frozen=True, slots=True)
class Eraser:
    """`erase` and `verify` take the tenant's and the subject's id, inside a transaction.

    `verify` counts what is left. What cannot be done yet (a recipient does not answer) raises.
    """

    name: str
    label: Promise
    turn: Turn
    erase: Callable[[UUID, UUID], Evidence]
    verify: Callable[[UUID, UUID], int]
    stops_processing: bool = False  # also done where data is restricted, not erased


_known: dict[str, Eraser] = {}


def register(eraser: Eraser) -> None:
    _known[eraser.name] = eraser


def in_order() -> list[Eraser]:
    return sorted(_known.values(), key=lambda eraser: (eraser.turn, eraser.name))


def find(name: str) -> Eraser | None:
    """None for a store that an earlier version had."""
    return _known.get(name)


def label(name: str) -> str:
    eraser = find(name)
    return str(eraser.label) if eraser else name


def added(before: Evidence, more: Evidence) -> Evidence:
    """The evidence of two rounds through a store."""
    found = dict(before)
    for name, value in more.items():
        adds_up = isinstance(value, int | list) and isinstance(found.get(name), type(value))
        found[name] = found[name] + value if adds_up else value
    return found
