"""Follows the queues in which requests of this process wait, or have waited.

Without it a queue to which this process sends nothing more would never seem to drain. An empty
queue is not read.
"""

import asyncio
import logging
from collections.abc import Mapping

from inference.queue.expected_wait import line_of
from inference.queue.fair_queue import FairQueue
from infrastructure.redis.link import TROUBLE

log = logging.getLogger(__name__)
EVERY_S = 0.25


class LineWatch:
    def __init__(self, queues: Mapping[str, FairQueue]) -> None:
        self._queues = queues
        self._followed: dict[str, asyncio.Task[None]] = {}  # by pool

    def look_after(self, pool: str) -> None:
        """Follow the queue until nothing waits there. Does not wait."""
        if pool not in self._followed and not line_of(pool).is_empty:
            self._followed[pool] = task = asyncio.create_task(self._follow(pool))
            task.add_done_callback(lambda _: self._followed.pop(pool, None))

    async def _follow(self, pool: str) -> None:
        while not line_of(pool).is_empty:
            await asyncio.sleep(EVERY_S)
            try:
                await self._queues[pool].look()
            except TROUBLE as problem:
                log.debug("cannot see what waits for %s: %s", pool, problem)

    async def close(self) -> None:
        tasks = list(self._followed.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
