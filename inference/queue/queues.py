"""The queues of a process that takes requests, and a watch on those in which they wait.

Without the watch a queue to which this process sends nothing more would never seem to drain. An
empty queue is not read.
"""

import asyncio
import logging
from concurrent.futures import ThreadPoolExecutor

from inference.queue.expected_wait import figures_of
from inference.queue.fair_queue import FairQueue
from infrastructure.redis.link import TROUBLE, RedisLink

log = logging.getLogger(__name__)
EVERY_S = 0.25


class FairQueues(dict[str, FairQueue]):
    """Queues by pool over one link. Pools may be added while the process runs."""

    def __init__(self, redis: RedisLink) -> None:
        super().__init__()
        self._redis = redis
        self._followed: dict[str, asyncio.Task[None]] = {}  # by pool
        self.messenger = ThreadPoolExecutor(1, "wake-up")

    def __missing__(self, pool: str) -> FairQueue:
        queue = self[pool] = FairQueue(self._redis, pool)
        return queue

    def look_after(self, pool: str) -> None:
        """Follow the queue until nothing waits there. Does not wait."""
        if pool not in self._followed and not figures_of(pool).is_empty:
            self._followed[pool] = task = asyncio.create_task(self._follow(pool))
            task.add_done_callback(lambda _: self._followed.pop(pool, None))

    async def _follow(self, pool: str) -> None:
        while not figures_of(pool).is_empty:
            await asyncio.sleep(EVERY_S)
            try:
                await self[pool].look()
            except TROUBLE as problem:
                log.debug("cannot see what waits for %s: %s", pool, problem)

    async def close(self) -> None:
        tasks = list(self._followed.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self.messenger.shutdown(wait=False)
