"""Whether an engine takes requests, as this process knows: in one word, since when, and why."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Protocol

from inference.engines import breakers, reachable


class Condition(StrEnum):
    STARTING = "starting"  # the supervisor has started its server, which is not ready yet
    READY = "ready"
    LOADING = "loading"  # a new version: nobody uses it yet
    DRAINING = "draining"  # it takes no new requests, and finishes what it has
    DOWN = "down"


class Cause(StrEnum):
    NONE = ""
    SILENT = "silent"  # it did not answer when this process last looked
    BREAKER = "breaker"  # its breaker lets nothing through
    LOADING = "loading"
    RESTARTED = "restarted"  # `detail` says how the last one ended


@dataclass(frozen=True, slots=True)
class Standing:
    condition: Condition
    since: datetime | None = None
    cause: Cause = Cause.NONE
    detail: str = ""


class Row(Protocol):
    """Of an engine, as PostgreSQL has it."""

    name: str
    draining: bool
    staged: bool
    created_at: datetime
    starting_since: datetime | None
    starting_reason: str

    @property
    def launched(self) -> bool: ...


def standing(engine: Row) -> Standing:
    """An operator's word comes first."""
    if engine.staged:
        return Standing(Condition.LOADING, engine.created_at)
    return Standing(Condition.DRAINING) if engine.draining else ability(engine)


def ability(engine: Row) -> Standing:
    """Whether it could take requests, if it drains or not."""
    if engine.launched and engine.starting_since:
        why = engine.starting_reason
        cause = Cause.RESTARTED if why else Cause.LOADING
        return Standing(Condition.STARTING, engine.starting_since, cause, why)
    if since := reachable.silent_since(engine.name):
        why = reachable.silent_because(engine.name)
        return Standing(Condition.DOWN, since, Cause.SILENT, why)
    if since := breakers.open_since(engine.name):
        return Standing(Condition.DOWN, since, Cause.BREAKER)
    return Standing(Condition.READY)
