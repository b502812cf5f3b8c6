"""A runner at work in the tests' own process, and what a web process would do around it."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

from channels.db import database_sync_to_async
from django.utils import timezone

from audit.keys.keyring import keyring
from inference.engines.base import Engine
from inference.models import Completion, Usage
from inference.order import Order
from inference.queue.fair_queue import SWEEP, FairQueue, prefix, sweep_arguments
from inference.record import request_rows
from inference.stream import frames
from inference.stream.frames import Frame
from inference.worker.runner import Runner
from inference.worker.sibling_workers import SiblingWorkers
from infrastructure.redis.link import RedisLink
from tenants.models import Tenant
from tests.inference.orders import an_order

in_database = database_sync_to_async


class Bench:
    """A runner, and what a web process would do around it."""

    def __init__(self, pool: str, acme: Tenant, link: RedisLink) -> None:
        self.pool, self.acme, self.link = pool, acme, link
        self.queue = FairQueue(link, pool)
        self.drains: list[asyncio.Task[None]] = []
        self.runners: list[Runner] = []

    def start(self, engine: Engine, colleagues: SiblingWorkers | None = None) -> Runner:
        return self.drain(self.pool, engine, colleagues)

    def drain(self, pool: str, engine: Engine, colleagues: SiblingWorkers | None = None) -> Runner:
        if engine.config.id == engine.config.name:  # a breaker of its own
            engine.config = replace(engine.config, id=pool)
        runner = Runner(pool, engine, colleagues)
        self.runners.append(runner)
        self.drains.append(asyncio.create_task(runner.drain()))
        return runner

    async def submit(self, n: int = 1, **changes: Any) -> list[Order]:
        return [await self._submit(**changes) for _ in range(n)]

    async def _submit(self, **changes: Any) -> Order:
        order = an_order(tenant_id=self.acme.id, model=self.pool, **changes)
        await in_database(self._record)(order)
        cipher = await keyring.of_subject(order.tenant_id, order.subject_id)
        self.wanted_a_wake_up = await self.queue.enqueue(
            order.item, request_rows.encrypted_order(order, cipher)
        )
        return order

    def _record(self, order: Order) -> None:
        Completion.objects.create(
            id=order.id,
            tenant=self.acme,
            model=self.pool,
            pool=self.pool,
            route=order.route,
            stream=order.stream,
            created_at=timezone.now(),
        )

    async def settled(self, n: int) -> list[Usage]:
        found: list[Usage] = await until(lambda: in_database(self._usage)(n))
        return found

    def _usage(self, n: int) -> list[Usage]:
        found = list(Usage.objects.order_by("created_at"))
        return found if len(found) >= n else []

    async def sweep(self) -> int:
        """How many requests were taken away from a runner."""
        _, _, *requeued = await self.link.run(SWEEP, [prefix(self.pool)], *sweep_arguments(500))
        return len(requeued)

    async def history(self, order: Order) -> list[Frame]:
        name = frames.history(order.id.bytes)
        entries = await self.link.call("XRANGE", name, "-", "+")
        return [f for _, fields in entries for f in frames.decrypted(fields[1], name.encode())]

    async def returned(self, web: str) -> list[Frame]:
        """What a web process gets."""
        name = frames.channel(web)
        entries = await self.link.call("XRANGE", name, "-", "+")
        return [f for _, fields in entries for f in frames.decrypted(fields[1], name.encode())]

    async def leases_run_out(self) -> int:
        """As if the runners that hold them had died a while ago. How many come back."""
        leases = f"{prefix(self.pool)}:leases"
        for _ in range(100):  # a beat may renew them before the sweep
            for item in await self.link.call("ZRANGE", leases, 0, -1):
                await self.link.call("ZADD", leases, 1, item)
            if count := await self.sweep():
                return count
        return 0


async def until(ask: Callable[[], Awaitable[Any]], seconds: float = 30) -> Any:
    ends = time.monotonic() + seconds
    while not (found := await ask()):
        assert time.monotonic() < ends, "it did not happen"
        await asyncio.sleep(0.02)
    return found
