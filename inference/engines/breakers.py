"""A circuit breaker for each engine, shared by all processes through Redis.

Five failures in a row open it (of one tenant's requests alone, only if the engine has not answered
another one lately): for 30 seconds nobody asks the engine. Then one request is let
through, the probe: its answer closes the breaker, its failure opens it again. Each process keeps
the states in memory (`breaker_watch.py` keeps them fresh), and only engines that have trouble are
among them: for all others nobody asks Redis anything. What Redis has lost reads as closed.
"""

import time
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from math import ceil
from pathlib import Path
from typing import Literal

import msgspec

from infrastructure.redis.link import Script

FAILURES = 5  # in a row
OPEN_S = 30.0
PROBE_S = 10.0  # a probe that has not been renewed for so long has died with its worker
FORCED_OPEN_S = 30  # when to ask again, where only an operator knows
HISTORY = 50  # changes
AHEAD_MS = 1000  # so much earlier than Redis's our clock may be by the way of an answer
STATES_KEY, CHANGES_KEY = "{breaker}:states", "{breaker}:changes"
_HERE = Path(__file__).parent
REPORT = Script.load(_HERE / "breaker.lua", when_full=True)
STATES = Script.load(_HERE / "breaker_states.lua", when_full=True)
Verb = Literal["failed", "succeeded", "released", "probe", "renew", "force", "forget"]


class Phase(StrEnum):
    CLOSED = "closed"  # requests go to the engine
    OPEN = "open"  # none does
    DUE = "due"  # it was open long enough: the next request is the probe
    HALF_OPEN = "half_open"  # the probe is under way


class State(msgspec.Struct, frozen=True):
    """As breaker.lua keeps it. Times are Redis's, in milliseconds since the epoch."""

    state: str
    failures: int
    since: int
    due: int  # when a probe may be sent
    probe: str
    probe_until: int
    forced: str  # "open" or "closed" by an operator's word; "": neither
    reason: str

    def phase(self, now_ms: float) -> Phase:
        if self.forced or self.state == "closed":
            return Phase(self.forced or "closed")
        if now_ms < self.since - AHEAD_MS:  # set back: the next request has Redis put it right
            return Phase.DUE
        if now_ms < self.due:
            return Phase.OPEN
        return Phase.HALF_OPEN if now_ms < self.probe_until else Phase.DUE


@dataclass(slots=True)
class _Known:
    """What this process knows, and how Redis's clock runs beside ours."""

    states: dict[str, State]
    ahead_ms: float = 0.0


_known = _Known({})


def has_trouble(engine: str) -> bool:
    """Whether its breaker is anything but closed without a failure."""
    return engine in _known.states


def phase(engine: str) -> Phase:
    state = _known.states.get(engine)
    return state.phase(_now_ms()) if state else Phase.CLOSED


def open_since(engine: str) -> datetime | None:
    """None while requests go to it, or one might."""
    state = _known.states.get(engine)
    if state is None or state.phase(_now_ms()) in (Phase.CLOSED, Phase.DUE):
        return None
    return datetime.fromtimestamp(state.since / 1000, UTC)


def retry_after(engine: str) -> int:
    """Seconds until it may be asked, at least 1."""
    state = _known.states.get(engine)
    if state and state.forced == "open":
        return FORCED_OPEN_S
    if state is None or state.phase(_now_ms()) is Phase.DUE:
        return 1
    return max(1, ceil((state.due - _now_ms()) / 1000))


def any_trouble() -> bool:
    return bool(_known.states)


def keys(engine: str) -> list[str]:
    """Of REPORT. The hash tag keeps all breakers in one slot of a cluster."""
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
    """Of REPORT. `open_s`: 0 for OPEN_S. `tenant`: "" where no request can have caused it.
    `at_once`: this failure alone opens it.
    """
    opens_ms, probe_ms = int((open_s or OPEN_S) * 1000), int(PROBE_S * 1000)
    fixed = [opens_ms, 1 if at_once else FAILURES, probe_ms, HISTORY]
    return [engine, verb, token, reason, *fixed, tenant, int(serves_others)]


def learn(engine: str, answer: list[int | bytes]) -> bool:
    """From REPORT's answer. True when a request may ask the engine."""
    may, now_ms, told = answer
    _set_clock(now_ms)
    if told:
        _known.states[engine] = _decode(told)
    else:
        _known.states.pop(engine, None)
    return bool(may)


def learn_all(answer: list[int | bytes]) -> bytes:
    """From STATES's answer. Returns the id of the latest change."""
    now_ms, latest, *flat = answer
    _set_clock(now_ms)
    pairs = zip(flat[::2], flat[1::2], strict=True)
    _known.states = {_text(name): _decode(told) for name, told in pairs}
    return _bytes(latest)


def forget() -> None:
    """As a process that has just started."""
    _known.states = {}


_decode_state = msgspec.json.Decoder(State).decode


def _decode(told: int | bytes) -> State:
    return _decode_state(_bytes(told))


def _bytes(word: int | bytes) -> bytes:
    assert isinstance(word, bytes)
    return word


def _text(word: int | bytes) -> str:
    return _bytes(word).decode()


def _set_clock(now_ms: int | bytes) -> None:
    assert isinstance(now_ms, int)
    _known.ahead_ms = now_ms - time.monotonic() * 1000


def _now_ms() -> float:
    return time.monotonic() * 1000 + _known.ahead_ms
