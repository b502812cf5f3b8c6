"""A circuit breaker for each engine: after failures it is left alone, by all processes (Redis).

Five failures in a row open it; if they are all of one tenant, only an engine that has not answered
another tenant lately. An open breaker lets no request through for 30 seconds. Then one is let
through, the probe: its answer closes the breaker, its failure opens it again. A state that Redis
has lost reads as closed.

Each process has the states of engines with trouble in memory, so healthy engines cost no Redis
call. A blocking read of the stream of changes waits in Redis until there is one: a change arrives
before the next request. While an engine has trouble, the states are read each second as well, to
notice a Redis that has lost them.
"""

import asyncio
import logging
import time
from datetime import UTC, datetime
from enum import StrEnum
from math import ceil
from pathlib import Path
from typing import Any, Literal

import msgspec

from infrastructure.redis.cluster_link import link_to
from infrastructure.redis.link import TROUBLE, RedisLink, Script

log = logging.getLogger(__name__)
BLOCK_MS, BLOCK_IN_TROUBLE_MS = 10_000, 1_000
AGAIN_S = 0.3
FAILURES = 5  # in a row
OPEN_S = 30.0
PROBE_S = 10.0  # without renewal; then the probe has died with its worker
FORCED_OPEN_S = 30  # Retry-After, since only an operator closes it
HISTORY = 50  # changes
AHEAD_MS = 1000  # our clock may lag behind that of Redis by the time of a round trip
STATES_KEY, CHANGES_KEY = "{breaker}:states", "{breaker}:changes"
_HERE = Path(__file__).parent
REPORT = Script.load(_HERE / "breaker.lua", when_full=True)
STATES = Script.load(_HERE / "breaker_states.lua", when_full=True)
Verb = Literal["failed", "succeeded", "released", "probe", "renew", "force", "forget"]


class Phase(StrEnum):
    CLOSED = "closed"  # requests go through
    OPEN = "open"  # no request goes through
    DUE = "due"  # it was open long enough: the next request is the probe
    HALF_OPEN = "half_open"  # the probe is under way


class BreakerState(msgspec.Struct, frozen=True):
    """A state as breaker.lua stores it. Times are of Redis's clock, in ms since the epoch."""

    state: str
    failures: int
    since: int
    due: int  # when a probe may be sent
    probe: str
    probe_until: int
    forced: str  # by an operator: "open", "closed", or "" for neither
    reason: str

    def phase(self, now_ms: float) -> Phase:
        if self.forced or self.state == "closed":
            return Phase(self.forced or "closed")
        if now_ms < self.since - AHEAD_MS:  # its clock was set back: the next request mends it
            return Phase.DUE
        if now_ms < self.due:
            return Phase.OPEN
        return Phase.HALF_OPEN if now_ms < self.probe_until else Phase.DUE


_states: dict[str, BreakerState] = {}  # of engines with trouble, as this process knows them
_ahead_ms = 0.0  # the lead of Redis's clock over this process's


def has_trouble(engine: str) -> bool:
    """Returns whether its breaker has counted a failure or is not closed."""
    return engine in _states


def phase(engine: str) -> Phase:
    state = _states.get(engine)
    return state.phase(_now_ms()) if state else Phase.CLOSED


def open_since(engine: str) -> datetime | None:
    """Returns since when no request goes to it; None while one does or might."""
    state = _states.get(engine)
    if state is None or state.phase(_now_ms()) in (Phase.CLOSED, Phase.DUE):
        return None
    return datetime.fromtimestamp(state.since / 1000, UTC)


def retry_after(engine: str) -> int:
    """Returns the seconds until the engine may be asked, at least 1."""
    state = _states.get(engine)
    if state and state.forced == "open":
        return FORCED_OPEN_S
    if state is None or state.phase(_now_ms()) is Phase.DUE:
        return 1
    return max(1, ceil((state.due - _now_ms()) / 1000))


def keys(engine: str) -> list[str]:
    """Returns the keys of REPORT. Their hash tag keeps all breakers in one slot of a cluster."""
    return [STATES_KEY, f"{{breaker}}:history:{engine}", CHANGES_KEY]


def arguments(
    engine: str,
    verb: Verb,
    token: str,
    reason: str = "",
    open_s: float = 0.0,
    *,
    tenant: str = "",
    serves_others: bool = False,
    at_once: bool = False,
) -> list[str | int]:
    """Returns the arguments of REPORT.

    `open_s`: 0 for OPEN_S. `tenant`: "" if no request can have caused it. `at_once`: this failure
    alone opens it.
    """
    opens_ms, probe_ms = int((open_s or OPEN_S) * 1000), int(PROBE_S * 1000)
    fixed = [opens_ms, 1 if at_once else FAILURES, probe_ms, HISTORY]
    return [engine, verb, token, reason, *fixed, tenant, int(serves_others)]


def learn(engine: str, answer: list[Any]) -> bool:
    """Learn the state in REPORT's answer. Returns whether a request may ask the engine."""
    may, now_ms, encoded = answer
    _set_clock(now_ms)
    if encoded:
        _states[engine] = _decode(encoded)
    else:
        _states.pop(engine, None)
    return bool(may)


def learn_all(answer: list[Any]) -> bytes:
    """Learn the states in STATES's answer. Returns the id of the latest change."""
    global _states
    now_ms, latest, *flat = answer
    _set_clock(now_ms)
    pairs = zip(flat[::2], flat[1::2], strict=True)
    _states = {name.decode(): _decode(encoded) for name, encoded in pairs}
    return bytes(latest)


def forget() -> None:
    """Drop all states, as in a process that has just started."""
    _states.clear()


_decode = msgspec.json.Decoder(BreakerState).decode


def _set_clock(now_ms: int) -> None:
    global _ahead_ms
    _ahead_ms = now_ms - time.monotonic() * 1000


def _now_ms() -> float:
    return time.monotonic() * 1000 + _ahead_ms


# Keeping them fresh ------------------------------------------------------------------------------
async def refresh(redis: RedisLink) -> bytes:
    """Read all states. Returns the id of the latest change. Raises RedisGone."""
    return learn_all(await redis.run(STATES, [STATES_KEY, CHANGES_KEY]))


async def keep_fresh(redis_url: str) -> None:
    """Read all changes until it is cancelled."""
    redis = link_to(redis_url, timeout_s=BLOCK_MS / 1000 * 2)
    try:
        while True:
            await _look(redis)
    finally:
        redis.close()


async def _look(redis: RedisLink) -> None:
    try:
        latest = await refresh(redis)
        block_ms = BLOCK_IN_TROUBLE_MS if _states else BLOCK_MS
        await redis.call("XREAD", "BLOCK", block_ms, "COUNT", 1, "STREAMS", CHANGES_KEY, latest)
    except TROUBLE as problem:
        log.debug("cannot read the breakers' states: %s", problem)
        await asyncio.sleep(AGAIN_S)
