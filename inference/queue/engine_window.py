"""What an engine has done in the last minutes, as one of its workers has seen it.

A worker keeps it in memory and puts it into Redis while it changes; pages add up those of all
workers of an engine. It holds numbers and the last failure in our own words: nothing of a prompt,
an answer or a tenant. Its size is bounded by its bounds in time.
"""

from collections.abc import Iterable
from typing import Any

import msgspec

from inference.queue.fair_queue import prefix
from inference.usage.histogram import bucket

TEN_S, MINUTE_S = 10, 60
MINUTES = 5  # before the present one, of all but tokens
TOKENS_S = 900
KEPT_S = 24 * 3600  # for its last failure


class Failure(msgspec.Struct, frozen=True, array_like=True):
    at: float  # seconds since the epoch
    status: int
    code: str
    reason: str  # for operators, in our words


class Minute(msgspec.Struct, array_like=True):
    """`first` and `waited`: histograms of milliseconds (inference/usage/histogram.py)."""

    requests: int = 0
    errors: int = 0
    first: dict[int, int] = {}
    waited: dict[int, int] = {}


class EngineWindow(msgspec.Struct, array_like=True):
    """`now`: seconds since the epoch, of the worker's clock."""

    tokens: dict[int, int] = {}  # of answers, by ten seconds
    minutes: dict[int, Minute] = {}
    failure: Failure | None = None

    def came(self, tokens: int, now: float) -> None:
        """Less than 0 where it was said to be more before."""
        index = int(now) // TEN_S
        if index not in self.tokens:
            _forget(self.tokens, index - TOKENS_S // TEN_S)
        self.tokens[index] = self.tokens.get(index, 0) + tokens

    def ended(self, now: float, waited_ms: int, first_ms: int | None) -> None:
        """A request, well or not. `first_ms`: until its first token, of a stream."""
        minute = self._minute(now)
        minute.requests += 1
        _add(minute.waited, waited_ms)
        if first_ms is not None:
            _add(minute.first, first_ms)

    def failed(self, failure: Failure) -> None:
        self._minute(failure.at).errors += 1
        self.failure = failure

    def is_over(self, now: float) -> bool:
        """Its worker has told nothing new for KEPT_S."""
        tokens, minutes = max(self.tokens, default=0), max(self.minutes, default=0)
        return max(tokens * TEN_S, minutes * MINUTE_S) < now - KEPT_S

    def _minute(self, now: float) -> Minute:
        index = int(now) // MINUTE_S
        if (found := self.minutes.get(index)) is None:
            _forget(self.minutes, index - MINUTES)
            found = self.minutes[index] = Minute()
        return found


def key(pool: str, engine: str) -> str:
    """A hash: worker -> its window."""
    return f"{prefix(pool)}:window:{engine}"


def packed(window: EngineWindow) -> bytes:
    return msgspec.msgpack.encode(window)


def unpacked(texts: Iterable[bytes]) -> list[EngineWindow]:
    """Without what another version of Forebay has written otherwise."""
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
