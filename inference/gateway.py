"""Steps 2 to 5 of a request's life, for every way in: REST, chat, later gRPC and batch.

One Gateway per web process holds what a request needs: the door, Redis, the record, and the
sinks where answers arrive.
"""

import asyncio
import logging
import secrets
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import UUID, uuid4

import psycopg
from django.conf import settings
from django.db import DatabaseError
from kombu.exceptions import OperationalError

from audit.group_commit import GroupCommit, StoreUnavailable
from audit.keyring import keyring
from inference import ledger
from inference.engines import served
from inference.engines.base import Engine
from inference.ledger import Outcome
from inference.order import Order
from inference.queue.fair_queue import FairQueue
from inference.stream.returns import Returns
from inference.stream.sink import Sink
from inference.wake_up import wake_up
from tenants.admission import Admission, admit, release
from tenants.caller import Caller
from tenants.door import Door
from tenants.redis_link import RedisGone, RedisLink

log = logging.getLogger(__name__)
RECORD_PATIENCE_S = 1.0
KEY_PATIENCE_S = 3.0


class NotAdmitted(Exception):
    def __init__(self, admission: Admission) -> None:
        super().__init__(admission.tier)
        self.admission = admission


class OutOfService(Exception):
    """PostgreSQL or Redis is away; nothing has been done."""


class Gateway:
    def __init__(self) -> None:
        self.id = secrets.token_hex(6)
        self.redis = RedisLink(settings.REDIS_URL)
        self.door = Door(settings.DATABASE_URL)
        self.returns = Returns(settings.REDIS_URL, self.id)
        self._received = GroupCommit(
            settings.DATABASE_URL, ledger.RECEIVED, patience_s=RECORD_PATIENCE_S
        )
        self._settled = GroupCommit(settings.DATABASE_URL, ledger.SETTLED, patience_s=30)
        self._queues = {name: FairQueue(self.redis, name) for name in served()}
        self._messenger = ThreadPoolExecutor(1, "wake-up")
        self._errands: set[asyncio.Task[Any]] = set()

    async def stop(self) -> None:
        if self._errands:
            await asyncio.wait(self._errands, timeout=3)
        await self.returns.close()
        await self._received.close()
        await self._settled.close()
        await self.door.close()
        self.redis.close()
        self._messenger.shutdown(wait=False)

    # Steps 2, 4, 5 -------------------------------------------------------------------------------
    async def submit(
        self,
        caller: Caller,
        engine: Engine,
        *,
        body: bytes,
        route: str,
        chat: bool,
        stream: bool,
        estimate: int,
        client_ip: str = "",
        include_usage: bool = False,
        detached: bool = False,
        before_queue: Callable[[UUID], Any] | None = None,
    ) -> tuple[Order, Sink, Admission]:
        """Admits, puts on record, queues. Raises NotAdmitted, OutOfService."""
        now = time.time()
        order = Order(
            id=uuid4(),
            tenant_id=caller.tenant_id,
            subject_id=caller.subject_id,
            actor=caller.actor,
            client_ip=client_ip,
            model=engine.config.name,
            route=route,
            chat=chat,
            stream=stream,
            include_usage=include_usage,
            reply_to="" if detached else self.id,
            detached=detached,
            body=body,
            created_at=now,
            deadline=now + settings.REQUEST_DEADLINE_S,
            estimate=estimate,
            weight=caller.weight,
        )
        admission = await self._admit(caller, order)
        sink = self.returns.expect(order.id.bytes)
        try:
            if before_queue:
                await before_queue(order.id)
            sealed = await self._record(caller, order)
        except BaseException:
            self.returns.forget(order.id.bytes)
            self._errand(release(self.redis, caller, str(order.id)))
            raise
        await self._enqueue(order, sealed)
        return order, sink, admission

    async def _admit(self, caller: Caller, order: Order) -> Admission:
        try:
            admission = await admit(
                self.redis,
                caller,
                client_ip=order.client_ip,
                ip_per_minute=settings.IP_PER_MINUTE,
                request_id=str(order.id),
                hold_s=settings.REQUEST_DEADLINE_S + 60,
            )
        except RedisGone as problem:
            raise OutOfService(str(problem)) from None
        if admission.tier:
            raise NotAdmitted(admission)
        return admission

    async def _record(self, caller: Caller, order: Order) -> bytes:
        try:
            key = keyring.of_subject(order.tenant_id, order.subject_id)
            sealer = await asyncio.wait_for(key, KEY_PATIENCE_S)
            sealed = ledger.sealed_order(order, sealer)
            row = ledger.received_row(order, sealed, caller.api_key_id, caller.member_id)
            await self._received.write(row)
        except StoreUnavailable as problem:
            if problem.late:
                self._errand(self._close_late(order, problem.late))
            raise OutOfService(str(problem)) from None
        except (TimeoutError, psycopg.Error, DatabaseError) as problem:
            raise OutOfService(str(problem)) from None
        return sealed

    async def _close_late(self, order: Order, recorded: asyncio.Future[None]) -> None:
        """It came on record after its client had been refused: it must not run."""
        await recorded
        refused = Outcome(
            state="failed", status=503, finish_reason="error", error_code="recorded_late"
        )
        await self.settle_unstarted(order, refused)

    async def _enqueue(self, order: Order, sealed: bytes) -> None:
        """It is on record by now: what does not get through here, the sweeper brings in."""
        try:
            if await self._queues[order.model].enqueue(order.item, sealed):
                loop = asyncio.get_running_loop()
                loop.run_in_executor(self._messenger, _wake, order.model)
        except RedisGone as problem:
            log.warning("request %s waits for the sweeper: %s", order.id, problem)

    # Giving up -----------------------------------------------------------------------------------
    def cancel(self, order: Order) -> None:
        """The reader is gone: stop the generation, settle what there is. Does not wait."""
        self._errand(self._cancel(order))

    async def _cancel(self, order: Order) -> None:
        try:
            where = await self._queues[order.model].cancel(str(order.id))
        except RedisGone:
            return  # the runner finishes it, or the sweeper closes it
        if where == "queued":
            await self.settle_unstarted(
                order, Outcome(state="cancelled", status=499, finish_reason="cancelled")
            )

    async def settle_unstarted(self, order: Order, outcome: Outcome) -> None:
        sealer = await keyring.of_subject(order.tenant_id, order.subject_id)
        await self._settled.write(ledger.settled_row(order, outcome, sealer, time.time()))
        await self._queues[order.model].settle(order.item, 0)

    def _errand(self, work: Any) -> None:
        task = asyncio.ensure_future(work)
        self._errands.add(task)
        task.add_done_callback(self._errand_done)

    def _errand_done(self, task: asyncio.Task[Any]) -> None:
        self._errands.discard(task)
        if not task.cancelled() and (problem := task.exception()):
            log.warning("after a request: %r", problem)


def _wake(pool: str) -> None:
    try:
        wake_up(pool)
    except (OperationalError, OSError) as problem:
        log.warning("%s: no wake-up could be sent (%s); the sweeper will", pool, problem)


_current: list[Gateway] = []


async def open_gateway() -> Gateway:
    gateway = Gateway()
    _current.append(gateway)
    return gateway


async def close_gateway() -> None:
    while _current:
        await _current.pop().stop()


def gateway() -> Gateway:
    """This process's gateway; opened and closed by the ASGI lifespan."""
    return _current[-1]
