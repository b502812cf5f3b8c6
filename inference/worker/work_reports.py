"""Reports tokens to the fair queue as they arrive: one call for all running requests."""

import asyncio
import contextlib
import logging
from collections.abc import Mapping
from typing import Any

from inference.order import Item
from inference.queue.fair_queue import AHEAD, FairQueue
from inference.worker.run.run import Run
from infrastructure.redis.link import TROUBLE

log = logging.getLogger(__name__)
EVERY_S = 0.25  # at 64 to 128 tokens a second, 16 to 32 of each stream
LEAST = 32  # work units since the last report: 16 tokens of an answer


class WorkReports:
    """Reports while something runs. `running` is by request id."""

    def __init__(self, queue: FairQueue, running: Mapping[str, Run]) -> None:
        self._queue, self._running = queue, running
        self._reported: dict[Item, int] = {}
        self._task: asyncio.Task[Any] | None = None

    def look_on(self) -> None:
        """Start reporting if it does not run. Does not wait."""
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._work())

    def over(self, item: Item) -> bool:
        """Forget an ended item. Returns whether it may have been reported since its start."""
        return self._reported.pop(item, None) is not None

    def stop(self) -> None:
        if self._task:
            self._task.cancel()

    async def _work(self) -> None:
        while self._running:
            await asyncio.sleep(EVERY_S)
            if costs := self._due():
                self._reported |= costs  # even if it is unknown whether the call arrived
                with contextlib.suppress(*TROUBLE):  # the next call includes it
                    await self._queue.report_work(costs)

    def _due(self) -> dict[Item, int]:
        costs = {
            each.item: each.handler.work_units_so_far - each.earlier.reported.work_units
            for each in self._running.values()
        }
        return {
            item: cost
            for item, cost in costs.items()
            if cost >= self._reported.get(item, min(item.estimate, AHEAD)) + LEAST
        }
