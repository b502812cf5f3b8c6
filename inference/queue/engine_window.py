"""Figures of an engine in the last minutes, as one of its workers has measured them.

A worker has them in memory and writes them to Redis when they change; pages add up those of all
workers of an engine. They are numbers and the last failure in the platform's words, without
anything of a prompt, an answer or a tenant. Their bounds in time bound their size.
"""

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import msgspec

from inference.queue.client import client
from inference.queue.fair_queue import prefix
from inference.usage.histogram import Histogram, bucket

TEN_S, MINUTE_S = 10, 60
MINUTES = 5  # before the present one, for all but tokens
TOKENS_S = 900
KEPT_S = 24 * 3600  # for its last failure


class Failure(msgspec.Struct, frozen=True, array_like=True):
    at: float  # seconds since the epoch
    status: int
    code: str
    reason: str  # for operators, in the platform's words


class Minute(msgspec.Struct, array_like=True):
    """One minute. `first` and `waited` are histograms in ms (inference/usage/histogram.py)."""

    requests: int = 0
    errors: int = 0
    first: dict[int, int] = {}
    waited: dict[int, int] = {}


class EngineWindow(msgspec.Struct, array_like=True):
    """The figures. `now` is in seconds since the epoch, of the worker's clock."""

    tokens: dict[int, int] = {}  # of answers, by ten seconds
    minutes: dict[int, Minute] = {}
    failure: Failure | None = None

    def came(self, tokens: int, now: float) -> None:
        """Count tokens; a negative number corrects an earlier one."""
        index = int(now) // TEN_S
        if index not in self.tokens:
            _forget(self.tokens, index - TOKENS_S // TEN_S)
        self.tokens[index] = self.tokens.get(index, 0) + tokens

    def ended(self, now: float, waited_ms: int, first_ms: int | None) -> None:
        """Count an ended request. `first_ms` is the time to a stream's first token."""
        minute = self._minute(now)
        minute.requests += 1
        _add(minute.waited, waited_ms)
        if first_ms is not None:
            _add(minute.first, first_ms)

    def failed(self, failure: Failure) -> None:
        """Count a failure, and remember it as the last."""
        self._minute(failure.at).errors += 1
        self.failure = failure

    def is_over(self, now: float) -> bool:
        """Returns whether its worker has reported nothing new for KEPT_S."""
        tokens, minutes = max(self.tokens, default=0), max(self.minutes, default=0)
        return max(tokens * TEN_S, minutes * MINUTE_S) < now - KEPT_S

    def _minute(self, now: float) -> Minute:
        index = int(now) // MINUTE_S
        if (minute := self.minutes.get(index)) is None:
            _forget(self.minutes, index - MINUTES)
            minute = self.minutes[index] = Minute()
        return minute


def key(pool: str, engine: str) -> str:
    """Returns the key of a hash from worker to window."""
    return f"{prefix(pool)}:window:{engine}"


packed = msgspec.msgpack.encode


def unpacked(texts: Iterable[bytes]) -> list[EngineWindow]:
    """Decode the windows, except for those of an incompatible version."""
    return [window for text in texts if (window := _read(text))]


_decode = msgspec.msgpack.Decoder(EngineWindow).decode


def _read(text: bytes) -> EngineWindow | None:
    try:
        return _decode(text)
    except msgspec.DecodeError:
        return None


def _add(histogram: dict[int, int], ms: int) -> None:
    k = bucket(ms)
    histogram[k] = histogram.get(k, 0) + 1


def _forget(by_time: dict[int, Any], before: int) -> None:
    for index in [index for index in by_time if index < before]:
        del by_time[index]


@dataclass(frozen=True, slots=True)
class EngineFigures:
    """Milliseconds since receipt. Five minutes, except for tokens and the last failure."""

    requests: int = 0
    errors: int = 0
    tokens_per_second: float = 0.0  # of the last minute
    tokens_per_second_15m: float = 0.0
    ttft_p50: int | None = None
    ttft_p95: int | None = None
    queue_p50: int | None = None
    queue_p95: int | None = None
    failure: Failure | None = None

    @property
    def failed_at(self) -> datetime | None:
        return datetime.fromtimestamp(self.failure.at, UTC) if self.failure else None


def engine_figures(engines: Iterable[tuple[str, str]]) -> dict[str, EngineFigures]:
    """Returns figures by engine, for (pool, engine), in one round trip. Raises redis.RedisError."""
    names = list(engines)
    with client().pipeline(transaction=False) as ask:
        for pool, engine in names:
            ask.hvals(key(pool, engine))
        windows, now = ask.execute(), time.time()
    return {
        engine: figures(unpacked(texts), now)
        for (_, engine), texts in zip(names, windows, strict=True)
    }


def figures(windows: Sequence[EngineWindow], now: float) -> EngineFigures:
    minutes = list(_recent(windows, int(now) // MINUTE_S - MINUTES))
    first = sum((Histogram(minute.first) for minute in minutes), Histogram())
    waited = sum((Histogram(minute.waited) for minute in minutes), Histogram())
    return EngineFigures(
        sum(minute.requests for minute in minutes),
        sum(minute.errors for minute in minutes),
        _rate(windows, MINUTE_S, now),
        _rate(windows, TOKENS_S, now),
        first.p50,
        first.p95,
        waited.p50,
        waited.p95,
        max(_failures(windows, now - KEPT_S), key=lambda failure: failure.at, default=None),
    )


def _failures(windows: Sequence[EngineWindow], since: float) -> Iterable[Failure]:
    return (window.failure for window in windows if window.failure and window.failure.at >= since)


def _recent(windows: Sequence[EngineWindow], since: int) -> Iterable[Minute]:
    for window in windows:
        yield from (minute for index, minute in window.minutes.items() if index >= since)


def _rate(windows: Sequence[EngineWindow], seconds: int, now: float) -> float:
    """Returns tokens a second over whole tens of seconds and the present one."""
    since = (int(now) - seconds) // TEN_S
    tokens = sum(n for window in windows for index, n in window.tokens.items() if index >= since)
    return max(0, tokens) / (now - since * TEN_S)
