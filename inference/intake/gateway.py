"""Steps 2 to 5 of a request's life, for every way in: REST, chat, later gRPC and batch.

One Gateway per web process holds what a request needs: the authenticator, Redis, the record, and
the sinks where answers arrive.
"""

import asyncio
import contextlib
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

from audit.keys.keyring import Barred, Unreadable, keyring
from audit.keys.master_keys import MasterKeyUnavailable
from audit.trail.group_commit import GroupCommit, StoreUnavailable
from inference.engines import reachable, served
from inference.engines.base import Engine
from inference.engines.probing import keep_known, probe
from inference.intake import allowed, charging
from inference.intake.at_once import AtOnce
from inference.intake.revocation import RESTRICTED, RESTRICTED_TEXT, Revocation
from inference.order import Order
from inference.queue.fair_queue import FairQueue
from inference.queue.wake_up import wake_up
from inference.record import ledger, places
from inference.record.ledger import Outcome
from inference.stream.returns import Returns
from inference.stream.sink import Sink
from tenants.authentication.authenticator import Authenticator
from tenants.caller import Caller
from tenants.quotas.charge import Charge
from tenants.quotas.exhausted import Exhausted
from tenants.quotas.price_list import PriceList
from tenants.quotas.verdict import OutOfQuota, Verdict, verdict
from tenants.rate_limits.admission import Admission, Ask
from tenants.rate_limits.rate_limiter import RateLimiter
from tenants.rate_limits.release import Place, give_back
from tenants.redis_link import RedisGone, RedisLink
from tenants.refusals.recorder import Refusals, Refused

log = logging.getLogger(__name__)
RECORD_PATIENCE_S = 1.0
RECORD_TENANT_BYTES = 64 * 1024 * 1024
QUEUE_PATIENCE_S = 10.0  # a Redis that restarts is back within that time
QUEUE_AGAIN_S = 0.2
KEY_PATIENCE_S = 3.0
READERS, SOCKETS, FOLLOWERS = 2_000, 4_000, 4_000  # of a web process
PRICE_PATIENCE_S = 2.0
_NOT_RUN = Outcome(state="failed", status=503, finish_reason="error", error_code="not_queued")


class NotAdmitted(Exception):
    """`message` says why, where the figures of the admission do not."""

    def __init__(self, admission: Admission, message: str = "") -> None:
        super().__init__(admission.tier)
        self.admission, self.message = admission, message
        self.refusal_id = ""  # for whoever asks why (tenants/refusals/recorder.py)


NO_KEY = (Unreadable, MasterKeyUnavailable)


class OutOfService(Exception):
    """PostgreSQL, Redis or a key is away; nothing has been generated, nothing is billed."""


class Gateway:
    def __init__(self) -> None:
        self.id = secrets.token_hex(6)
        self.redis = RedisLink(settings.REDIS_URL)
        self.authenticator = Authenticator(settings.DATABASE_URL)
        self.returns = Returns(settings.REDIS_URL, self.id)
        self.revocation = Revocation(settings.DATABASE_URL, self.cancel)
        self.refusals = Refusals(settings.DATABASE_URL)
        self.prices = PriceList(settings.DATABASE_URL)
        self.exhausted = Exhausted()
        self.rate_limiter = RateLimiter(
            settings.REDIS_URL,
            processes=settings.WEB_PROCESSES,
            hold_s=self._hold_s,
            in_progress=self._in_progress,
        )
        self._received = GroupCommit(
            settings.DATABASE_URL,
            ledger.RECEIVED,
            patience_s=RECORD_PATIENCE_S,
            tenant_bytes=RECORD_TENANT_BYTES,
        )
        self._settled = GroupCommit(settings.DATABASE_URL, ledger.SETTLED, patience_s=30)
        self._queues = {name: FairQueue(self.redis, name) for name in served()}
        self.readers, self.sockets = AtOnce(READERS), AtOnce(SOCKETS)
        self.followers = AtOnce(FOLLOWERS)
        self._messenger = ThreadPoolExecutor(1, "wake-up")
        self._background_tasks: set[asyncio.Task[Any]] = set()
        self._probing = [
            asyncio.create_task(keep_known(served().values())),
            asyncio.create_task(reachable.keep_looking(served().values())),
        ]

    async def stop(self) -> None:
        if self._background_tasks:
            await asyncio.wait(self._background_tasks, timeout=3)
        for task in self._probing:
            task.cancel()
        await self.revocation.close()
        await self.refusals.close()
        await self.prices.close()
        await self.rate_limiter.close()
        await self.returns.close()
        await self._received.close()
        await self._settled.close()
        await self.authenticator.close()
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
        max_tokens: int | None = None,
        client_ip: str = "",
        include_usage: bool = False,
        detached: bool = False,
        before_queue: Callable[[UUID], Any] | None = None,
        address_counted_at: int = 0,
    ) -> tuple[Order, Sink, Admission]:
        """Admits, puts on record, queues. `address_counted_at`: see address_limit.py.

        `before_queue` gets the request's id once it is on record. `max_tokens` is the body's; the
        sink tells what the quotas said (`sink.verdict`).
        Raises NotAllowed, NoSuchModel, NotAdmitted, OutOfService.
        """
        allowed.check(caller, engine, client_ip)
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
            charge=await self._charge(caller, engine, body, chat, max_tokens, now),
        )
        if out_of := self._known_to_be_out_of(caller, order):
            raise self._noted(_no_room(out_of), caller, order)
        ask = Ask.of(
            caller,
            str(order.id),
            client_ip=client_ip,
            per_address=settings.IP_PER_MINUTE,
            tokens=places.set_aside(order),
            hold_s=self._hold_s,
            address_counted_at=address_counted_at,
            size=len(body),
        )
        admission, counted_at = await self.rate_limiter.admit(ask)
        if admission.tier:
            raise self._noted(NotAdmitted(admission), caller, order)
        sink = self.returns.expect(order.id.bytes, order.tenant_id.bytes)
        try:
            sealed, sink.verdict, sink.payload_sha256 = await self._record(caller, order)
        except BaseException as problem:
            self.returns.forget(order.id.bytes)
            self._in_background(self.rate_limiter.undo(ask, counted_at))
            if isinstance(problem, NotAdmitted):
                self._noted(problem, caller, order)
            raise
        if before_queue:
            await self._before_queue(order, before_queue)
        self.revocation.begin(order, caller.credential, sink)
        try:
            await self._enqueue(order, sealed, sink)
        except asyncio.CancelledError:  # this process stops
            self.leave(order)
            raise
        return order, sink, admission

    @property
    def _hold_s(self) -> int:
        """So long a place is held at most, whatever dies."""
        return int(settings.REQUEST_DEADLINE_S) + 60

    def _in_progress(self) -> list[Place]:
        return [places.place(order) for order in self.revocation.orders()]

    def _noted(self, refused: NotAdmitted, caller: Caller, order: Order) -> NotAdmitted:
        who = Refused(
            caller.tenant_id,
            caller.actor,
            order.route,
            order.model,
            ledger.network(order.client_ip),
        )
        refused.refusal_id = self.refusals.note(who, refused.admission)
        return refused

    def refused(
        self, caller: Caller, admission: Admission, route: str, client_ip: str
    ) -> NotAdmitted:
        """By a limit that no order has come to."""
        who = Refused(caller.tenant_id, caller.actor, route, client_net=ledger.network(client_ip))
        refused = NotAdmitted(admission)
        refused.refusal_id = self.refusals.note(who, admission)
        return refused

    def denied(self, caller: Caller, route: str, model: str, client_ip: str) -> None:
        """Puts on record that somebody asked for a model that is hidden from them."""
        net = ledger.network(client_ip)
        who = Refused(caller.tenant_id, caller.actor, route, model, net)
        self.refusals.denied(who, 404, "model_not_found")

    async def _charge(
        self,
        caller: Caller,
        engine: Engine,
        body: bytes,
        chat: bool,
        max_tokens: int | None,
        now: float,
    ) -> Charge:
        try:
            prices = await asyncio.wait_for(
                self.prices.of(engine.config.name, now), PRICE_PATIENCE_S
            )
        except (TimeoutError, psycopg.Error, OSError) as problem:
            raise OutOfService(str(problem)) from None
        return charging.charge(caller, engine, prices, body=body, chat=chat, max_tokens=max_tokens)

    def _known_to_be_out_of(self, caller: Caller, order: Order) -> OutOfQuota | None:
        now = asyncio.get_running_loop().time()
        return self.exhausted.found(caller, order.model, order.charge, now)

    async def _record(self, caller: Caller, order: Order) -> tuple[bytes, Verdict, str]:
        try:
            key = keyring.of_subject(order.tenant_id, order.subject_id)
            sealer = await asyncio.wait_for(key, KEY_PATIENCE_S)
            sealed = ledger.sealed_order(order, sealer)
            row = ledger.received_row(order, sealed, caller.time_zone)
            said = verdict(await self._received.write(row))
        except Barred:  # erased since the authenticator looked
            raise allowed.NotAllowed(RESTRICTED, RESTRICTED_TEXT) from None
        except StoreUnavailable as problem:
            if problem.late:
                self._in_background(self._close_late(order, problem.late))
            raise OutOfService(str(problem)) from None
        except (TimeoutError, psycopg.Error, DatabaseError, *NO_KEY) as problem:
            raise OutOfService(str(problem)) from None
        if said.out_of:
            self.exhausted.remember(said.out_of, asyncio.get_running_loop().time())
            raise _no_room(said.out_of)
        return sealed, said, row["payload_sha256"]

    async def _close_late(self, order: Order, recorded: asyncio.Future[Any]) -> None:
        """It came on record after its client had been refused: it must not run."""
        if verdict(await recorded).out_of:
            return
        refused = Outcome(
            state="failed", status=503, finish_reason="error", error_code="recorded_late"
        )
        await self.settle_unstarted(order, refused)

    async def _before_queue(self, order: Order, act: Callable[[UUID], Any]) -> None:
        """When it fails, the request is settled as not run."""
        try:
            await act(order.id)
        except BaseException:
            self.returns.forget(order.id.bytes)
            self._in_background(self.settle_unstarted(order, _NOT_RUN))
            raise

    async def _enqueue(self, order: Order, sealed: bytes, sink: Sink) -> None:
        """It is on record by now, and waits for a Redis that is away; but not for ever.

        Raises OutOfService when it has been settled as not run.
        """
        loop = asyncio.get_running_loop()
        until = loop.time() + QUEUE_PATIENCE_S
        while True:
            try:
                async with asyncio.timeout_at(until):
                    wanted = await self._queues[order.model].enqueue(order.item, sealed)
                if wanted:
                    loop.run_in_executor(self._messenger, _wake, order.model)
                return
            except (RedisGone, TimeoutError) as problem:
                if sink.attempt:  # the sweeper brought it in, and it runs
                    return
                if loop.time() + QUEUE_AGAIN_S >= until:
                    await self._never_queued(order)
                    raise OutOfService(f"request {order.id} did not run: {problem}") from None
                await asyncio.sleep(QUEUE_AGAIN_S)

    async def _never_queued(self, order: Order) -> None:
        self.leave(order)
        self.rate_limiter.over(str(order.id))
        try:
            await self._put_on_record(order, _NOT_RUN)
        except StoreUnavailable as problem:  # then the sweeper closes it
            log.warning("request %s is not settled yet: %s", order.id, problem)
        self._in_background(self._out_of_the_queue(order))

    async def _out_of_the_queue(self, order: Order) -> None:
        """A Redis that was slow may have queued it all the same: it must not run."""
        for _ in range(60):
            with contextlib.suppress(RedisGone):
                return await self._free(order, 0)
            await asyncio.sleep(1)
        return None

    def leave(self, order: Order) -> None:
        """Its reader has the whole answer, or has gone."""
        self.returns.forget(order.id.bytes)
        self.revocation.leave(order)

    # Giving up -----------------------------------------------------------------------------------
    def cancel(self, order: Order) -> None:
        """The reader is gone: stop the generation, settle what there is. Does not wait."""
        self._in_background(self._cancel(order))

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
        await self._put_on_record(order, outcome)
        await self._free(order, 0)

    async def _put_on_record(self, order: Order, outcome: Outcome) -> None:
        try:
            sealer = await keyring.of_subject(order.tenant_id, order.subject_id)
        except Unreadable:  # erased meanwhile: no text is kept
            sealer = None
        await self._settled.write(ledger.settled_row(order, outcome, sealer, time.time()))

    async def _free(self, order: Order, used: int) -> None:
        """Its place in the queue and in the limits. Raises RedisGone."""
        await asyncio.gather(
            self._queues[order.model].settle(order.item, 0),
            give_back(self.redis, places.place(order), places.set_aside(order), used),
        )

    def _in_background(self, work: Any) -> None:
        task = asyncio.ensure_future(work)
        self._background_tasks.add(task)
        task.add_done_callback(self._background_task_done)

    def _background_task_done(self, task: asyncio.Task[Any]) -> None:
        self._background_tasks.discard(task)
        if not task.cancelled() and (problem := task.exception()):
            log.warning("clean-up after a request failed: %r", problem)


def _no_room(out_of: OutOfQuota) -> NotAdmitted:
    admission = Admission(
        tier="quota",
        limit=out_of.limit,
        used=out_of.used + out_of.reserved,
        frees_in_ms=out_of.frees_in_ms,
        counter=out_of.quota_id,
        unit=out_of.unit,
        window=out_of.window,
    )
    return NotAdmitted(admission, str(out_of))


def _wake(pool: str) -> None:
    try:
        wake_up(pool)
    except (OperationalError, OSError) as problem:
        log.warning("%s: cannot send a wake-up (%s); the sweeper retries", pool, problem)


_current: list[Gateway] = []


async def open_gateway() -> Gateway:
    gateway = Gateway()
    _current.append(gateway)
    engines = served().values()
    await asyncio.gather(gateway.rate_limiter.open(), probe(engines), reachable.look(engines))
    return gateway


async def close_gateway() -> None:
    while _current:
        await _current.pop().stop()


def gateway() -> Gateway:
    """This process's gateway; opened and closed by the ASGI lifespan."""
    return _current[-1]


def refusals() -> Refusals | None:
    """Where this process notes them; None in one that has no gateway, such as a command."""
    return _current[-1].refusals if _current else None
