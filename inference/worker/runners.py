"""The runners of one worker: one for each engine that it serves and that takes requests.

Usually that is one. While a new version of an engine takes over, the old one's runner finishes its
requests beside the new one's, in the same process.
"""

import asyncio
import logging

from inference.engines import pools
from inference.engines.base import Engine
from inference.queue.pool_workers import workers_of
from inference.worker.runner import Runner
from inference.worker.sibling_workers import SiblingWorkers

log = logging.getLogger(__name__)


class Runners:
    """The runners of an engine's `number`th worker, which the Celery `queue` wakes."""

    def __init__(self, pool: str, queue: str, number: int) -> None:
        self._pool, self._queue, self._number = pool, queue, number
        self._running: dict[str, Runner] = {}  # by the engine's name
        self._ended: asyncio.Queue[tuple[Runner, asyncio.Task[None]]] = asyncio.Queue()
        self._tasks: set[asyncio.Task[None]] = set()
        self._stopping = False

    async def drain(self) -> None:
        """Drain the pool. Returns when all runners have left."""
        self.look()
        while self._running:
            runner, task = await self._ended.get()
            del self._running[runner.engine.config.id]
            self._tasks.discard(task)
            if problem := task.exception():
                log.error("%s: a runner failed: %r", self._pool, problem, exc_info=problem)
            elif runner.stopping or any(each.stopping for each in self._running.values()):
                self.look()  # this worker cannot be woken while one of them finishes

    def look(self) -> None:
        """Follow a change of engines.

        Stop runners of engines that drain, or were removed or changed, and start those of engines
        that take requests now.
        """
        in_use = {} if self._stopping else self._in_use()
        for name, runner in self._running.items():
            if in_use.get(name) is not runner.engine:
                runner.stop()
        for name in in_use.keys() - self._running:
            self._start(in_use[name])

    def stop(self) -> None:
        """Stop taking requests; running ones finish."""
        self._stopping = True
        self.look()

    def _in_use(self) -> dict[str, Engine]:
        names = {worker.engine for worker in workers_of(self._pool) if worker.queue == self._queue}
        known = pools().get(self._pool)
        return {e.config.id: e for e in known.engines if e.config.id in names} if known else {}

    def _start(self, engine: Engine) -> None:
        name = engine.config.id
        runner = Runner(self._pool, engine, SiblingWorkers(self._pool, name, self._number))
        self._running[name] = runner
        task = asyncio.create_task(runner.drain())
        self._tasks.add(task)
        task.add_done_callback(lambda task: self._ended.put_nowait((runner, task)))
