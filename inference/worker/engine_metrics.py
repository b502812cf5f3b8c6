"""Measures an engine for pages: tokens, waits, first tokens, and the last failure.

A request costs a few additions. Tokens of streams are counted as they arrive, twice a second, and
corrected at the end. The window belongs to the process while runners come and go, and continues
from Redis after a restart of the worker.
"""

import contextlib
import time
from collections.abc import Iterable

from inference.engines.base import EnginePaused, WorkerLost
from inference.queue import engine_window
from inference.record.outcome import Outcome
from inference.worker.run.run import Run
from infrastructure.redis.link import TROUBLE, RedisFull, RedisGone, RedisLink

EVERY_S = 1.0
_NOT_THE_ENGINES = (EnginePaused, WorkerLost)  # failures that the engine did not see
_windows: dict[str, engine_window.EngineWindow] = {}  # of this process, by their keys


class EngineWatch:
    """The watch of one runner. `worker` is its name among those of its engine, on all hosts."""

    def __init__(self, pool: str, engine: str, worker: str) -> None:
        self._key, self._worker = engine_window.key(pool, engine), worker
        self._window = _windows.get(self._key)
        self._changed, self._reported_at = False, 0.0

    async def begin(self, redis: RedisLink) -> None:
        """Continue the window of this worker from before its restart."""
        if self._window is None:
            stored = None
            with contextlib.suppress(*TROUBLE):
                stored = await self._stored(redis)
            self._window = _windows.setdefault(self._key, stored or engine_window.EngineWindow())

    async def _stored(self, redis: RedisLink) -> engine_window.EngineWindow | None:
        """Returns the stored window. Deletes old ones: in a cluster each worker has its own
        name.
        """
        words, now = iter(await redis.call("HGETALL", self._key)), time.time()
        unpacked = engine_window.unpacked
        by_worker = {
            name.decode(): unpacked([text]) for name, text in zip(words, words, strict=True)
        }
        expired = [
            name for name, windows in by_worker.items() if windows and windows[0].is_over(now)
        ]
        if expired:
            await redis.call("HDEL", self._key, *expired)
        return next(iter(by_worker.get(self._worker, ())), None)

    def look(self, running: Iterable[Run]) -> None:
        """Count the new tokens of running answers."""
        now = time.time()
        for run in running:
            self._count(run, len(run.output.events) - run.output.watched, now)

    def over(self, run: Run, outcome: Outcome | None) -> None:
        """Count an ended request. Without an `outcome` it goes on elsewhere, or later."""
        now = time.time()
        pieces = len(run.output.events)
        tokens = outcome.completion_tokens if outcome else pieces
        self._count(run, tokens - run.output.watched, now, ends=True)
        failure = None if run.signals.cancelled else run.failure
        if isinstance(failure, _NOT_THE_ENGINES):
            failure = None
        if outcome or failure:
            self._changed = True
            self._own.ended(now, run.queue_ms, outcome.ttft_ms if outcome else None)
        if failure and failure.counts:
            cause = failure.cause[:200]
            self._own.failed(engine_window.Failure(now, failure.status, failure.code, cause))

    async def tell(self, redis: RedisLink) -> None:
        """Write new figures, once a second at most. Raises RedisGone, ReplyError."""
        if not self._changed or time.monotonic() < self._reported_at + EVERY_S:
            return
        self._reported_at = time.monotonic()
        write = "HSET", self._key, self._worker, engine_window.packed(self._own)
        self._changed = False
        try:
            await redis.many([write, ("EXPIRE", self._key, engine_window.KEPT_S)])
        except RedisFull:  # a full Redis is for more important data
            self._changed = True
        except RedisGone:
            self._changed = True
            raise

    async def end(self, redis: RedisLink) -> None:
        self._reported_at = 0.0
        with contextlib.suppress(*TROUBLE):
            await self.tell(redis)

    @property
    def _own(self) -> engine_window.EngineWindow:
        self._window = self._window or _windows.setdefault(self._key, engine_window.EngineWindow())
        return self._window

    def _count(self, run: Run, new: int, now: float, *, ends: bool = False) -> None:
        """Count new tokens; only the end may correct the number downwards."""
        run.output.watched = len(run.output.events)
        if new > 0 or (new and ends):
            self._own.came(new, now)
            self._changed = True
