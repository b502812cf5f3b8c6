"""The state of an engine in one word, as this process knows it, with its time and cause."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Protocol

from inference.engines.health import breakers, reachability


class Condition(StrEnum):
    STARTING = "starting"  # the supervisor has started its server, which is not ready yet
    READY = "ready"
    LOADING = "loading"  # a new version, not in use yet
    DRAINING = "draining"  # it takes no new requests, and finishes those it has
    DOWN = "down"


class Cause(StrEnum):
    NONE = ""
    SILENT = "silent"  # it did not answer this process's last check
    BREAKER = "breaker"  # its breaker lets nothing through
    LOADING = "loading"
    RESTARTED = "restarted"  # `detail`: how its last process ended


@dataclass(frozen=True, slots=True)
class EngineState:
    condition: Condition
    since: datetime | None = None
    cause: Cause = Cause.NONE
    detail: str = ""


class Row(Protocol):
    """An engine's row in PostgreSQL."""

    name: str
    draining: bool
    staged: bool
    created_at: datetime
    starting_since: datetime | None
    starting_reason: str

    @property
    def launched(self) -> bool: ...


def engine_state(engine: Row) -> EngineState:
    """Returns the state. The operator's draining comes before all that is observed."""
    if engine.staged:
        return EngineState(Condition.LOADING, engine.created_at)
    return EngineState(Condition.DRAINING) if engine.draining else state_unless_draining(engine)


def state_unless_draining(engine: Row) -> EngineState:
    """Returns the state that it would have if it did not drain."""
    if engine.launched and engine.starting_since:
        reason = engine.starting_reason
        cause = Cause.RESTARTED if reason else Cause.LOADING
        return EngineState(Condition.STARTING, engine.starting_since, cause, reason)
    if since := reachability.silent_since(engine.name):
        reason = reachability.silent_because(engine.name)
        return EngineState(Condition.DOWN, since, Cause.SILENT, reason)
    if since := breakers.open_since(engine.name):
        return EngineState(Condition.DOWN, since, Cause.BREAKER)
    return EngineState(Condition.READY)
