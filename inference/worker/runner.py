"""The runner of one pool: takes requests from the fair queue whenever a slot is really free.

Woken by a Celery message that carries no request, it drains the queue with as many concurrent
streams as the engine has slots, lingers when the queue is empty, and goes. What it holds is
leased: if it dies, the sweeper gives its requests to the next one.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable, Coroutine
from functools import partial
from typing import Any, TypeVar
from uuid import UUID

import hiredis
import msgspec
from channels.db import database_sync_to_async
from django.conf import settings
from django.db import DatabaseError

from audit.keys.keyring import Cipher, Unreadable, keyring
from audit.keys.master_keys import MasterKeyUnavailable
from audit.trail.group_commit import GroupCommit
from inference import classes
from inference.cache.second_level import SecondLevel
from inference.codec.events import split
from inference.current import working_for
from inference.engines import Pool, breaker_watch, pools, served
from inference.engines.base import Engine, EngineFull
from inference.engines.session import EngineSession
from inference.metrics import work
from inference.models import Completion, Usage
from inference.order import Item, Order, unpacked
from inference.queue.fair_queue import FairQueue
from inference.queue.runner_ids import new_id
from inference.record import slots, statements
from inference.record.parked import NEVER, Parked, forget, read
from inference.record.recorded import EncryptedRequests
from inference.record.statements import Outcome, key_id
from inference.stream import frames
from inference.stream.sink import unseen
from inference.stream.writer import Writer
from inference.tracing import spans, words
from inference.worker.charging import Charging
from inference.worker.colleagues import SiblingWorkers
from inference.worker.guard import Guard
from inference.worker.handing_over import (
    belongs_elsewhere,
    fail_over,
    next_pool,
    other_available,
    own_pool,
    record_departure,
)
from inference.worker.handlers import handler_of
from inference.worker.handlers.base import Handler
from inference.worker.putting_aside import park_request
from inference.worker.silence import SilenceWatch
from inference.worker.watching import EngineWatch
from infrastructure.redis.cluster_link import link_to
from infrastructure.redis.link import RedisGone
from tenants.rate_limits.release import Slot, reacquire, releasing

log = logging.getLogger(__name__)
T = TypeVar("T")
TROUBLE = (RedisGone, hiredis.ReplyError)  # Redis is away, or loads, or is full
BEAT_S = 0.5
LINGER_S = 30.0
SETTLE_PATIENCE_S = 60.0
GIVEN_UP_S = 9.0  # one that has waited so long may have been given up (intake/enqueue.py)


class Runner:
    def __init__(self, pool: str, engine: Engine, colleagues: SiblingWorkers | None = None) -> None:
        self.id = new_id(engine.config.id)
        self.pool, self.engine, self.configured = pool, engine, engine
        self.colleagues = colleagues or SiblingWorkers(pool)
        self.slots = self.colleagues.share(engine.config.slots)
        self.guard = Guard(engine.config.id)
        self.watch = EngineWatch(pool, engine.config.id, self.colleagues.worker)
        self.running: dict[str, Handler] = {}  # by request id
        self.leased: dict[str, tuple[Item, bytes]] = {}  # with the encrypted order
        self.stopping = False
        self._cancelled: set[str] = set()  # before they were running
        self._aside: set[asyncio.Task[None]] = set()  # parked: their slots are free again
        self._parked = self._held = False
        self._woken = False
        self._leaving = False
        self._epoch = b""
        self._wake = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._beside: set[asyncio.Task[None]] = set()

    async def drain(self) -> None:
        """Returns when the queue has been empty for LINGER_S, or soon after `stop`."""
        self.redis = link_to(settings.REDIS_URL)
        if not await self._takes_place():
            return self.redis.close()
        self._notes = link_to(settings.REDIS_URL, timeout_s=None)
        self.guard = Guard(self.engine.config.id, self.redis)
        await self.watch.begin(self.redis)
        self.queue = FairQueue(self.redis, self.pool)
        self.inbox = FairQueue(self._notes, self.pool)
        self.charging = Charging(self.queue, self.running)
        self.writer = Writer(self.redis)
        self.answers = SecondLevel(self.redis)
        self.commits = GroupCommit(
            settings.DATABASE_URL,
            statements.SETTLED,
            patience_s=SETTLE_PATIENCE_S,
            what="settled",
        )
        self.recorded = EncryptedRequests(settings.DATABASE_URL)
        async with EngineSession() as session:
            self.session = session
            fresh, silence = breaker_watch.keep_fresh(settings.REDIS_URL), self._watch_silence()
            beside = (self._beats(), self._read_notes(), fresh, silence)
            helpers = [asyncio.create_task(work) for work in beside]
            try:
                async with self.engine.used(self.redis) as self.engine:
                    await self._work()
            finally:
                for helper in helpers:
                    helper.cancel()
                self.charging.stop()
                await self.guard.close()
                await self.watch.end(self.redis)
                await self.colleagues.leave(self.redis)
                await self.writer.drained()
                await self.commits.close()
                await self.recorded.close()
                self.redis.close()
                self._notes.close()

    async def _takes_place(self) -> bool:
        """False where another host has a worker of this name that is awake."""
        try:
            return await self.colleagues.may_run_here(self.redis)
        except TROUBLE:
            return True  # the beats ask again

    def stop(self) -> None:
        """Warm shutdown: takes nothing more, finishes what it has."""
        self.stopping = True
        self._wake.set()

    # The loop ------------------------------------------------------------------------------------
    async def _work(self) -> None:
        while not self.stopping:
            try:
                await self._fill()
                self._wake.clear()
                if self.stopping:
                    break
                if self._free() and not self._parked:
                    continue
                if await self._idle() and await self._may_leave():
                    return
            except TROUBLE as problem:
                log.warning("%s: %s; retrying", self.pool, problem)
                self._parked = self._leaving = False
                await asyncio.sleep(0.3)
        self._leaving = True
        with contextlib.suppress(*TROUBLE):
            await self.queue.leave(self.id, stop=True)
        while left := self._tasks | self._aside:
            await asyncio.wait(left)

    async def _fill(self) -> None:
        free = self._free()
        if not free or self._parked:
            return
        self._woken = False
        popped = await self.queue.pop(free, self.id)
        for item, ciphertext in popped:
            self.leased.setdefault(item.id, (item, ciphertext))
            self._spawn(self._run(item, ciphertext))
        if len(popped) < free:
            # A note may overtake this answer.
            self._parked = not (self._woken or popped.again)
            self._held = popped.held
        else:
            self.colleagues.call_one()

    async def _idle(self) -> bool:
        """Waits for a reason to go on; True when there was none for LINGER_S."""
        try:
            await asyncio.wait_for(self._wake.wait(), LINGER_S)
        except TimeoutError:
            return self._parked and not (self._tasks or self._aside)
        return False

    async def _may_leave(self) -> bool:
        self._leaving = True  # no beat may follow: it would fake a living runner
        if await self.queue.leave(self.id, stop=False):
            return True
        self._leaving = self._parked = False
        return False

    def _free(self) -> int:
        troubled = self.guard.has_trouble or self.guard.has_just_failed
        places = self._places() if troubled else self.slots
        return max(0, self.guard.limit_after_full(places) - len(self._tasks))

    def _places(self) -> int:
        """While its engine has trouble, others of the pool take its requests."""
        pool = pools().get(self.pool)
        others = pool is not None and other_available(pool, self.engine.config.id)
        return self.guard.allowed_slots(self.slots, others=others)

    def _refused(self, failure: EngineFull) -> None:
        """Sends an engine of ours that is full no more than it has let in. One that lets in nothing
        has failed.
        """
        if self.engine.config.hosted:
            return
        if running := sum(handler.is_let_in for handler in self.running.values()):
            self.guard.note_full(running)
        elif self.guard.has_not_answered and self.slots == self.engine.config.slots:
            failure.engines_fault = True  # and no other worker of ours has filled it

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._finished)

    def _finished(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._aside.discard(task)
        if not task.cancelled() and (problem := task.exception()):
            log.error("a request failed: %r", problem, exc_info=problem)
        if self._held:  # for another slot than the free ones
            self._parked = False
        if not self._parked:
            self._wake.set()

    # One request ---------------------------------------------------------------------------------
    async def _run(self, item: Item, ciphertext: bytes) -> None:
        with working_for(item.id, item.tenant):
            await self._run_one(item, ciphertext)

    async def _run_one(self, item: Item, ciphertext: bytes) -> None:
        if earlier := self.running.get(item.id):
            earlier.abandon()  # its lease ran out, and it came back to us
        settling = earlier.settling if earlier else None
        self.leased[item.id] = mine = item, ciphertext
        order: Order | None = None
        moves: Pool | None = None
        before, parked = NEVER, None
        try:
            if settling:  # then it cannot be abandoned any more
                await settling.wait()
            if not ciphertext:  # too large for the queue
                ciphertext = await self._patiently(self.recorded.read, UUID(item.id))
            cipher = await self._patiently(keyring.by_id, key_id(ciphertext))
            sent = unpacked(cipher.decrypt(ciphertext[16:], _aad(item)))
            order = self._ours(sent)
            outcome = await self._handle(order, item, cipher, sent.queue)
            if (handler := self.running.get(item.id)) and handler.item == item:
                moves, parked = handler.moves, handler.waits_again
                before = handler.charged_for
                if moves and handler.has_left:
                    leaving = database_sync_to_async(record_departure)
                    await self._patiently(leaving, handler.order, self.engine.upstream)
        except (Unreadable, msgspec.DecodeError) as problem:
            log.warning("cannot read request %s: %s", item.id, problem)
            outcome = Outcome()
        finally:
            if self.leased.get(item.id) is mine:
                del self.leased[item.id]
                self.running.pop(item.id, None)
                self._cancelled.discard(item.id)
        if outcome:
            return await self._settle(item, order, outcome, before)
        self.charging.over(item)
        if moves and order:
            work.HANDED_OVER.of(*work.labels(order, item.klass)).value += 1
        if moves:
            await self._patiently(fail_over, self.queue, moves, item, ciphertext)
        elif parked and order:
            work.PREEMPTIONS.of(*work.labels(order, item.klass)).value += 1
            await self._patiently(park_request, self.redis, self.queue, order, item, before, parked)
        return None

    async def _was_handed_over(self, item: Item) -> bool:
        """Somebody died on the way: it has left for another pool, and this queue has not heard."""
        if item.attempt == 1:
            return False
        look = database_sync_to_async(belongs_elsewhere)
        return await self._patiently(look, UUID(item.id), self.pool)

    def _ours(self, order: Order) -> Order:
        """As this engine takes it: it was prepared for what was its model's first one then."""
        if order.pool != self.pool:
            order = msgspec.structs.replace(order, pool=self.pool)
        own = self.engine.body_form
        return order if (_body_form(order) or own) == own else self.engine.adopted(order)

    async def _patiently(self, ask: Callable[..., Awaitable[T]], *words: Any) -> T:
        """Servers that are away for a moment must not cost an attempt."""
        while True:
            try:
                return await ask(*words)
            except (DatabaseError, MasterKeyUnavailable, *TROUBLE) as problem:
                log.warning("%s: waiting for PostgreSQL, Redis or a key: %s", self.pool, problem)
                await asyncio.sleep(0.5)

    async def _handle(self, order: Order, item: Item, cipher: Cipher, start: str) -> Outcome | None:
        """`start`: the pool that it was routed to."""
        if await self._was_handed_over(item):
            with contextlib.suppress(*TROUBLE):  # then it comes back to one of us
                await self.queue.settle(item, 0)
            return None
        before, begun_by, parked = list[bytes](), "", NEVER
        if classes.of(item.klass).preemptible:
            parked = await self._patiently(read, self.redis, order.id)
        perhaps_over = item.attempt > 1 or time.time() - order.created_at > GIVEN_UP_S
        if perhaps_over and await self._patiently(database_sync_to_async(_settled), order):
            return Outcome()  # only the queue had not heard of it
        if parked.events or (item.attempt > 1 and order.keeps_events):
            before, begun_by = await self._patiently(self._sent_before, item)
        handler = handler_of(order)(order, item, self.engine, before)
        handler.of_another_version = frames.version_in(begun_by) != self.engine.config.version
        handler.guard, handler.answers = self.guard, self.answers
        handler.parked_before = handler.charged_for = parked
        handler.let_go = self._let_go
        handler.elsewhere = partial(next_pool, order, item, self.engine.config.id, start)
        handler.own_pool, handler.full = partial(own_pool, order), self._refused
        self.running[item.id] = handler
        self.charging.look_on()
        again = item.attempt > 1 or parked.times > 0
        if item.id in self._cancelled or (
            again and await self._patiently(self.queue.was_cancelled, item.id)
        ):
            handler.cancel()
        if classes.of(item.klass).preemptible:
            await self._offer(handler)
        if item.attempt == 1 and not parked.times:
            spans.past(order.trace, "queue", order.created_at, handler.popped_at)
        with spans.continued(order.trace, "work") as span:
            outcome = None
            try:
                outcome = await handler.run(self.session, self.writer, self.commits, cipher)
            finally:
                self.watch.over(handler, outcome)
            if span.is_on:
                span.tell(words.of_work(handler.order, item, self.engine.config.id, outcome))
            return outcome

    async def _settle(
        self, item: Item, order: Order | None, outcome: Outcome, before: Parked
    ) -> None:
        slot = slots.slot(order) if order else await self._slot_on_record(item)
        set_aside = slots.reserved_tokens(order) if order else 0
        with contextlib.suppress(*TROUBLE):  # the lease runs out, the sweeper finds it settled
            charged = self.charging.over(item)
            calls = [
                self.queue.settling(item, outcome.cost - before.cost, charged=charged),
                releasing(slot, set_aside, slots.used(outcome), slots.stored_bytes(outcome)),
            ]
            if classes.of(item.klass).preemptible:
                calls.append(self.queue.parking("over", item))
            await self.redis.run_all(calls)
            if before.times and order:
                await forget(self.redis, order)

    # Parking -------------------------------------------------------------------------------------
    async def _offer(self, handler: Handler) -> None:
        """To a higher class that may come, or waits already."""
        if self.stopping or not handler.may_be_parked():
            return
        with contextlib.suppress(*TROUBLE):  # then it runs through
            await self.queue.offer(handler.item, handler.popped_at)

    async def _park(self, handler: Handler) -> None:
        """It was asked for its slot."""
        with contextlib.suppress(*TROUBLE):
            if self.stopping or not handler.can_wait_again():
                return await self.queue.decline(handler.item)
            if await self.queue.still_wants(handler.item, handler.popped_at) and not handler.park():
                await self.queue.decline(handler.item)
        return None

    def _let_go(self) -> None:
        """By the task that runs: it puts its request aside, and takes no slot any more."""
        if task := asyncio.current_task():
            self._tasks.discard(task)
            self._aside.add(task)
        if not self._parked:
            self._wake.set()

    async def _slot_on_record(self, item: Item) -> Slot:
        """Of a request that cannot be read any more: its key's limits hold it too."""
        key, route = await self._patiently(database_sync_to_async(_key_and_route), UUID(item.id))
        takes_slot = slots.takes_slot(item.klass, route)
        return Slot(item.id, item.tenant, str(key) if key else "", takes_slot=takes_slot)

    async def _sent_before(self, item: Item) -> tuple[list[bytes], str]:
        """The events that an earlier attempt gave out, and who it was."""
        name = frames.history(_uuid_bytes(item.id))
        entries = await self.redis.call("XRANGE", name, "-", "+")
        events, upstream = list[bytes](), ""
        for _, fields in entries:
            for frame in frames.decrypted(fields[1], name.encode()):
                upstream = upstream or frame.upstream
                if fresh := unseen(frame, len(events)):  # a write may have been repeated
                    events += split(fresh.body)
        return events, upstream

    # Beside the loop -----------------------------------------------------------------------------
    async def _beats(self) -> None:
        while True:
            try:
                await self._beat()
            except TROUBLE as problem:
                log.warning("%s: heartbeat failed: %s", self.pool, problem)
            except Exception:  # without beats, everything that runs would be taken away
                log.exception("%s: heartbeat failed", self.pool)
            await asyncio.sleep(BEAT_S)

    async def _beat(self) -> None:
        items = [item for item, _ in self.leased.values()]
        waits, epoch, lost = await self.queue.beat(
            self.id, self._parked, items, leaving=self._leaving, held=self._held
        )
        if lost and epoch == self._epoch:
            for item in lost:
                handler = self.running.get(item.id)
                if handler and handler.item == item:
                    handler.abandon()
        elif self._epoch not in (epoch, b""):
            await self._after_a_loss()
        self._epoch = epoch
        if not self._leaving:
            await self.colleagues.beat(self.redis)
        if not await self.colleagues.may_run_here(self.redis):
            self.stop()  # this host was away for long, and another has taken over
        if waits and not self._free():
            self.colleagues.call_one()
        if waits and self._free():
            self._parked = False
            self._wake.set()
        self.watch.look(self.running.values())
        await self.watch.tell(self.redis)

    async def _after_a_loss(self) -> None:
        """Redis came back empty: put leases and events back before the sweeper looks."""
        log.warning("%s: Redis lost its data; restoring %d requests", self.pool, len(self.running))
        for request_id, handler in list(self.running.items()):
            if request_id not in self.leased:
                continue  # it ended while we were busy with another
            _, ciphertext = self.leased[request_id]
            if not await self.queue.adopt(handler.item, ciphertext, self.id):
                handler.abandon()
                continue
            slot = slots.slot(handler.order)
            await reacquire(self.redis, slot, settings.REQUEST_DEADLINE_S)
            if frame := handler.everything_sent():
                self.writer.put(handler.order, frame)
            if classes.of(handler.item.klass).preemptible:
                await self._offer(handler)
        self._parked = False
        self._wake.set()

    async def _watch_silence(self) -> None:
        await SilenceWatch(self.engine, self.session).keep_watch(self.running)

    async def _read_notes(self) -> None:
        while True:
            try:
                note = await self.inbox.inbox(self.id)
            except TROUBLE:
                self._parked = False
                self._wake.set()
                await asyncio.sleep(0.3)
                continue
            verb, _, request_id = note.decode().partition(" ")
            if verb == "cancel":
                self._cancel(request_id)
            elif verb == "park":
                if handler := self.running.get(request_id):
                    self._begin_beside(self._park(handler))
            else:
                self._woken, self._parked = True, False
                self._wake.set()

    def _begin_beside(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._beside.add(task)
        task.add_done_callback(self._beside.discard)

    def _cancel(self, request_id: str) -> None:
        if handler := self.running.get(request_id):
            handler.cancel()
        elif request_id in self.leased:  # still on its way to its handler
            self._cancelled.add(request_id)


def _body_form(order: Order) -> str:
    """Orders of earlier versions do not say."""
    first = served().get(order.model)
    return order.body_form or (first.body_form if first else "")


def _settled(order: Order) -> bool:
    return Usage.objects.filter(completion_id=order.id).exists()


def _key_and_route(request_id: UUID) -> tuple[UUID | None, str]:
    found = Completion.objects.filter(pk=request_id).values_list("api_key_id", "route")
    return found.first() or (None, "")


def _uuid_bytes(text: str) -> bytes:
    return bytes.fromhex(text.replace("-", ""))


def _aad(item: Item) -> bytes:
    return statements.request_aad(_uuid_bytes(item.tenant), _uuid_bytes(item.id))
