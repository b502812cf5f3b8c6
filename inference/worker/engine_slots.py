"""The slots of an engine that a runner fills, and the tasks that hold them."""

import asyncio
import logging
from collections.abc import Coroutine, Iterable
from typing import Any

from inference.engines import all_queues
from inference.engines.base import EngineConfig, EngineFull
from inference.queue.limits import left_free
from inference.worker.failover import other_available
from inference.worker.guard import Guard
from inference.worker.inbox import Idling
from inference.worker.run.further_slots import FurtherSlots
from inference.worker.run.run import Run

log = logging.getLogger(__name__)


class EngineSlots(FurtherSlots):
    """`count`: this worker's share of the engine's slots."""

    def __init__(self, pool: str, config: EngineConfig, count: int, idling: Idling) -> None:
        self._pool, self._config, self.count = pool, config, count
        self._idling = idling
        self.guard = Guard(config.id)
        self._holding: set[asyncio.Task[None]] = set()
        self._parked: set[asyncio.Task[None]] = set()  # their slots are free again
        self._further = 0  # slots of running requests beside their own

    @property
    def tasks(self) -> set[asyncio.Task[None]]:
        return self._holding | self._parked

    @property
    def free(self) -> int:
        guard = self.guard
        troubled = guard.has_trouble or guard.has_just_failed
        allowed = self._allowed() if troubled else self.count
        return max(0, guard.limit_after_full(allowed) - len(self._holding) - self._further)

    def _allowed(self) -> int:
        pool = all_queues().get(self._pool)
        others = pool is not None and other_available(pool, self._config.id)
        return self.guard.allowed_slots(self.count, others=others)

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._holding.add(task)
        task.add_done_callback(self._finished)

    # Beside a request's own ----------------------------------------------------------------------
    def borrow(self, klass: str) -> bool:
        """Take one if nobody waits for it, and if as many stay free as others may count on."""
        nobody_waits = self._idling.is_idle and not self._idling.is_held
        if not nobody_waits or self.free <= left_free(self._pool, klass):
            return False
        self._further += 1
        return True

    def occupy(self, count: int) -> None:
        self._further += count

    def give_back(self, count: int = 1) -> None:
        self._further -= count
        self._idling.slot_freed()

    def let_go(self) -> None:
        """Free the slot of the current task, which parks its request."""
        if task := asyncio.current_task():
            self._holding.discard(task)
            self._parked.add(task)
        self._idling.look_again()

    def _finished(self, task: asyncio.Task[None]) -> None:
        self._holding.discard(task)
        self._parked.discard(task)
        if not task.cancelled() and (problem := task.exception()):
            log.error("a request failed: %r", problem, exc_info=problem)
        self._idling.slot_freed()

    def note_full(self, failure: EngineFull, runs: Iterable[Run]) -> None:
        """Limit a full engine of ours to what it has let in; if that is nothing, it has failed."""
        if self._config.hosted:
            return
        if running := sum(run.handler.is_let_in for run in runs):
            self.guard.note_full(running)
        elif self.guard.has_not_answered and self.count == self._config.slots:
            failure.engines_fault = True  # and no other worker of ours has filled it
