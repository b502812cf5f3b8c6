"""Work that goes on after a request's caller has its answer or refusal."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

from infrastructure.redis.link import RedisGone

log = logging.getLogger(__name__)
PATIENCE_S = 3.0
TRIES = 60  # once a second


class Background:
    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[Any]] = set()

    def run(self, work: Awaitable[Any]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def insist(self, work: Callable[[], Awaitable[Any]]) -> None:
        """Run it, and again each second for a minute while Redis is away."""
        self.run(_insist(work))

    async def finish(self) -> None:
        """Wait a moment for the tasks under way."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=PATIENCE_S)

    def _done(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (problem := task.exception()):
            log.warning("clean-up after a request failed: %r", problem)


async def _insist(work: Callable[[], Awaitable[Any]]) -> None:
    for _ in range(TRIES):
        with suppress(RedisGone):
            await work()
            return
        await asyncio.sleep(1)
