"""Whether an engine takes requests, as this process knows: in one word, since when, and why."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from inference.engines import breakers, reachable


class Condition(StrEnum):
    READY = "ready"
    DRAINING = "draining"  # it takes no new requests, and finishes what it has
    DOWN = "down"


class Cause(StrEnum):
    NONE = ""
    SILENT = "silent"  # it did not answer when this process last looked
    BREAKER = "breaker"  # its breaker lets nothing through


@dataclass(frozen=True, slots=True)
class Standing:
    condition: Condition
    since: datetime | None = None
    cause: Cause = Cause.NONE


def standing(engine: str, *, draining: bool) -> Standing:
    """Of the engine with this name. An operator's word comes first."""
    if draining:
        return Standing(Condition.DRAINING)
    if since := reachable.silent_since(engine):
        return Standing(Condition.DOWN, since, Cause.SILENT)
    if since := breakers.open_since(engine):
        return Standing(Condition.DOWN, since, Cause.BREAKER)
    return Standing(Condition.READY)
