"""Figures of each engine in the last minutes, summed over its workers' windows, for pages."""

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from inference.queue.client import client
from inference.queue.engine_window import (
    KEPT_S,
    MINUTE_S,
    MINUTES,
    TEN_S,
    TOKENS_S,
    EngineWindow,
    Failure,
    Minute,
    key,
    unpacked,
)
from inference.usage.histogram import Histogram


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
