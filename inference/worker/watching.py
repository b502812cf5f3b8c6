"""What a runner sees of its engine, for pages: tokens, waits, first tokens, the last failure.

A request costs it a few additions. Tokens of streams are counted as they come, twice a second; how
many they were is put right in the end. The window stays with the process while runners come and
go, and goes on from what Redis has where the worker was started again.
"""

import contextlib
import time
from collections.abc import Iterable

import hiredis

from inference.engines.base import EngineFailed, EnginePaused, WorkerLost
from inference.queue.engine_window import (
    KEPT_S,
    EngineWindow,
    Failure,
    key,
    packed,
    unpacked,
)
from inference.record.statements import Outcome
from inference.worker.handlers.base import Handler
from infrastructure.redis.link import RedisFull, RedisGone, RedisLink

EVERY_S = 1.0
_OURS = (EnginePaused, WorkerLost)  # of which the engine knows nothing
_windows: dict[str, EngineWindow] = {}  # of this process, by their keys


class EngineWatch:
    """Of one runner. `worker`: its name among those of its engine, on all hosts."""

    def __init__(self, pool: str, engine: str, worker: str) -> None:
        self._key, self._worker = key(pool, engine), worker
        self._window = _windows.get(self._key)
        self._changed, self._told_at = False, 0.0

    async def begin(self, redis: RedisLink) -> None:
        """Takes up what this worker knew before it was started again."""
        if self._window is None:
            found = None
            with contextlib.suppress(RedisGone, hiredis.ReplyError):
                found = await self._known(redis)
            self._window = _windows.setdefault(self._key, found or EngineWindow())

    async def _known(self, redis: RedisLink) -> EngineWindow | None:
        """Those of workers that are gone go: in a cluster each has a name of its own."""
        words, now = iter(await redis.call("HGETALL", self._key)), time.time()
        known = {name.decode(): unpacked([text]) for name, text in zip(words, words, strict=True)}
        gone = [name for name, found in known.items() if found and found[0].is_over(now)]
        if gone:
            await redis.call("HDEL", self._key, *gone)
        return next(iter(known.get(self._worker, ())), None)

    def look(self, running: Iterable[Handler]) -> None:
        """How far answers are that run."""
        now = time.time()
        for handler in running:
            self._count(handler, len(handler.sent_events) - handler.watched, now)

    def over(self, handler: Handler, outcome: Outcome | None) -> None:
        """`outcome`: None where it goes on elsewhere, or later."""
        now = time.time()
        pieces = len(handler.sent_events)
        taken = outcome.completion_tokens if outcome else pieces
        self._count(handler, taken - handler.watched, now, ends=True)
        failure = None if handler.cancelled else handler.failure
        if isinstance(failure, _OURS):
            failure = None
        if outcome or failure:
            self._changed = True
            self._own.ended(now, handler.queue_ms, outcome.ttft_ms if outcome else None)
        if failure and failure.counts:
            self._own.failed(_told(failure, now))

    async def tell(self, redis: RedisLink) -> None:
        """Once a second at most, and only what is new. Raises RedisGone, ReplyError."""
        if not self._changed or time.monotonic() < self._told_at + EVERY_S:
            return
        self._told_at = time.monotonic()
        write = "HSET", self._key, self._worker, packed(self._own)
        self._changed = False
        try:
            await redis.many([write, ("EXPIRE", self._key, KEPT_S)])
        except RedisFull:  # there is more important matter to write
            self._changed = True
        except RedisGone:
            self._changed = True
            raise

    async def end(self, redis: RedisLink) -> None:
        self._told_at = 0.0
        with contextlib.suppress(RedisGone, hiredis.ReplyError):
            await self.tell(redis)

    @property
    def _own(self) -> EngineWindow:
        self._window = self._window or _windows.setdefault(self._key, EngineWindow())
        return self._window

    def _count(self, handler: Handler, new: int, now: float, *, ends: bool = False) -> None:
        """Only in the end they may turn out to be fewer than there seemed to be."""
        handler.watched = len(handler.sent_events)
        if new > 0 or (new and ends):
            self._own.came(new, now)
            self._changed = True


def _told(failure: EngineFailed, at: float) -> Failure:
    return Failure(at, failure.status, failure.code, failure.cause[:200])
