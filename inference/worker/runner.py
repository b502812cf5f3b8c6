"""The runner of one pool: takes requests from the fair queue whenever a slot is really free.

Woken by a Celery message that carries no request, it drains the queue with as many concurrent
streams as the engine has slots, lingers when the queue is empty, and goes. What it holds is
leased: if it dies, the sweeper gives its requests to the next one.
"""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from channels.db import database_sync_to_async
from django.db import DatabaseError

from inference.engines import all_queues
from inference.engines.base import Engine
from inference.engines.transport.session import EngineSession
from inference.lending import loans
from inference.metrics.work import count_warm
from inference.pool_policy import JOBS
from inference.queue.occupancy import new_runner_id
from inference.queue.pool_workers import workers_of
from inference.worker.energy_meter import meter_of
from inference.worker.engine_metrics import EngineWatch
from inference.worker.engine_slots import EngineSlots
from inference.worker.guard import Guard
from inference.worker.heartbeat import Heartbeat
from inference.worker.held_requests import HeldRequests
from inference.worker.inbox import Idling, Inbox
from inference.worker.leased_request import LeasedRequest
from inference.worker.preemption import Preemption
from inference.worker.runner_parts import Connections, RunnerParts
from inference.worker.shared_connections import SharedConnections, shared_connections
from inference.worker.sibling_workers import SiblingWorkers
from inference.worker.stalls import SilenceWatch
from inference.worker.work_reports import WorkReports
from infrastructure.own_addresses import is_here
from infrastructure.redis.link import TROUBLE, RedisLink

log = logging.getLogger(__name__)
LINGER_S = 30.0
AGAIN_S = 0.3


class Runner:
    """`siblings`: the other workers of its pool; none in a test."""

    def __init__(self, pool: str, engine: Engine, siblings: SiblingWorkers | None = None) -> None:
        config = engine.config
        self.id = new_runner_id(config.id)
        self.pool, self.engine = pool, engine
        self.siblings = siblings or SiblingWorkers(pool)
        self.requests, self.idling = HeldRequests(), Idling()
        self.slots = EngineSlots(pool, config, self.siblings.share(config.slots), self.idling)
        self.watch = EngineWatch(pool, config.id, self.siblings.worker)
        self.stopping = False

    def stop(self) -> None:
        """Warm shutdown: take nothing more, finish what it has, put back what has checkpoints."""
        self.stopping = True
        for run in self.requests.running.values():
            run.park_at_stop()
        self.idling.interrupt()

    async def drain(self) -> None:
        """Returns when the queue has been empty for LINGER_S, or soon after `stop`."""
        async with shared_connections() as shared:
            if await self._takes_place(shared.redis):
                await self._drain(shared)

    async def _drain(self, shared: SharedConnections) -> None:
        redis = shared.redis
        self.slots.guard = Guard(self.engine.config.id, redis)
        await self.watch.begin(redis)
        async with EngineSession() as session:
            self.parts = parts = self._parts(Connections(self.pool, shared, session))
            async with self._accompanied(parts), self.engine.used(redis) as parts.engine:
                await self._work(parts)

    async def _takes_place(self, redis: RedisLink) -> bool:
        """Return False where another host has a worker of this name that is awake."""
        try:
            return await self.siblings.may_run_here(redis)
        except TROUBLE:
            return True  # the heartbeat asks again

    def _parts(self, connections: Connections) -> RunnerParts:
        return RunnerParts(
            pool=self.pool,
            engine=self.engine,
            connections=connections,
            requests=self.requests,
            slots=self.slots,
            watch=self.watch,
            work_reports=WorkReports(connections.queue, self.requests.running),
            preemption=Preemption(connections.redis, connections.queue, lambda: self.stopping),
            energy=meter_of(self.engine, self.slots.count),
        )

    @asynccontextmanager
    async def _accompanied(self, parts: RunnerParts) -> AsyncIterator[None]:
        """Beat, read notes and watch the engine meanwhile; then close what was opened."""
        connections = parts.connections
        heartbeat = Heartbeat(self.id, parts, self.idling, self.siblings, self.stop)
        inbox = Inbox(self.requests, self.idling, parts.preemption.ask)
        silence = SilenceWatch(self.engine, connections.session)
        works = [
            heartbeat.keep(),
            inbox.read(connections.inbox, self.id),
            silence.keep_watch(self.requests.running),
        ]
        if parts.energy:
            works.append(parts.energy.keep(self.pool, self.engine.config.id))
        companions = [asyncio.create_task(work) for work in works]
        try:
            yield
        finally:
            for companion in companions:
                companion.cancel()
            parts.work_reports.stop()
            await self.slots.guard.close()
            await self.watch.end(connections.redis)
            await self.siblings.leave(connections.redis)
            connections.close()

    # The loop ------------------------------------------------------------------------------------
    async def _work(self, parts: RunnerParts) -> None:
        queue = parts.connections.queue
        while not self.stopping:
            try:
                await self._fill(parts)
                self.idling.clear()
                if self.stopping:
                    break
                if self.slots.free and not self.idling.is_idle:
                    continue
                if await self._lingers_in_vain() and await self._may_leave(parts):
                    return
            except TROUBLE as problem:
                log.warning("%s: %s; retrying", self.pool, problem)
                self.idling.is_idle = self.idling.is_leaving = False
                await asyncio.sleep(AGAIN_S)
        self.idling.is_leaving = True
        with contextlib.suppress(*TROUBLE):
            await queue.leave(self.id, stop=True)
        while tasks := self.slots.tasks:
            await asyncio.wait(tasks)

    async def _fill(self, parts: RunnerParts) -> None:
        free = self.slots.free
        if not free or self.idling.is_idle:
            return
        self.idling.before_pop()
        popped = await parts.connections.queue.pop(free, self.id)
        count_warm(self.pool, popped.warm)
        for item, ciphertext in popped:
            self.requests.leased.setdefault(item.id, (item, ciphertext))
            self.slots.spawn(LeasedRequest(parts, item, ciphertext).run())
        if len(popped) < free:
            self.idling.after_pop(popped)
        else:
            self.siblings.call_one()

    async def _lingers_in_vain(self) -> bool:
        """Wait for a reason to go on; return True when there was none for LINGER_S."""
        if await self.idling.wait(LINGER_S):
            return False
        return self.idling.is_idle and not self.slots.tasks

    async def _may_leave(self, parts: RunnerParts) -> bool:
        self.idling.is_leaving = True  # no beat may follow: it would fake a living runner
        if await parts.connections.queue.leave(self.id, stop=False):
            return True
        self.idling.is_leaving = self.idling.is_idle = False
        return False


async def _leave_gpu(runner: Runner) -> None:
    """Hand a lent engine back, if it is asked back. Its jobs queue has no other runner here."""
    gpu = runner.engine.config.id
    if not gpu.endswith(JOBS):
        return
    try:
        await database_sync_to_async(loans.leave)(gpu)
    except DatabaseError as problem:  # the jobs process does it, a few seconds later
        log.warning("%s: cannot hand the engine back: %s", gpu, problem)


def _has_gpu(engine: Engine) -> bool:
    """Returns False for a lent GPU of another host: a job needs its own worker's."""
    return not engine.config.id.endswith(JOBS) or is_here(engine.config.url)


class Runners:
    """The runners of an engine's `number`th worker, which the Celery `queue` wakes: usually one.

    While a new version of an engine takes over, the old one's runner finishes its requests beside
    the new one's, in the same process.
    """

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
            await _leave_gpu(runner)
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
        known = all_queues().get(self._pool)
        engines = [e for e in known.engines if e.config.id in names] if known else []
        return {e.config.id: e for e in engines if _has_gpu(e)}

    def _start(self, engine: Engine) -> None:
        name = engine.config.id
        runner = Runner(self._pool, engine, SiblingWorkers(self._pool, name, self._number))
        self._running[name] = runner
        task = asyncio.create_task(runner.drain())
        self._tasks.add(task)
        task.add_done_callback(lambda task: self._ended.put_nowait((runner, task)))
