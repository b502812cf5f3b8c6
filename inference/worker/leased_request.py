"""One request in a runner: from its lease to its settlement, its move or its parking."""

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, TypeVar
from uuid import UUID

import msgspec
from channels.db import database_sync_to_async
from django.db import DatabaseError
from msgspec.structs import replace

from audit.keys import stored_keys
from audit.keys.keyring import Cipher, Unreadable
from audit.keys.master_keys.errors import MasterKeyUnavailable
from inference import classes
from inference.codec.events import split
from inference.engines import served
from inference.log_context import working_for
from inference.metrics import work
from inference.models import Checkpoint, Completion, Usage
from inference.order import Item, Order, unpacked
from inference.queue import prefix_hashes
from inference.record import limit_usage, request_rows
from inference.record.outcome import Outcome
from inference.record.parked import NEVER, forget, read
from inference.record.request_rows import key_id
from inference.stream import frames
from inference.stream.frames import unseen
from inference.tracing import span_values, spans
from inference.worker import failover
from inference.worker.handlers import handler_of
from inference.worker.run.run import Run
from inference.worker.run.run_checkpoint import RunCheckpoint
from inference.worker.run.state import EarlierAttempts, RunServices
from inference.worker.runner_parts import RunnerParts
from infrastructure.redis.link import TROUBLE
from tenants.rate_limits.held_slots import HeldSlot, releasing

log = logging.getLogger(__name__)
T = TypeVar("T")
GIVEN_UP_S = 9.0  # one that has waited so long may have been given up (intake/enqueue.py)
AGAIN_S = 0.5


class LeasedRequest:
    def __init__(self, parts: RunnerParts, item: Item, ciphertext: bytes) -> None:
        self._parts, self.item, self._ciphertext = parts, item, ciphertext
        self._order: Order | None = None
        self._ended: Run | None = None  # once it has ended

    async def run(self) -> None:
        with working_for(self.item.id, self.item.tenant):
            await self._hold_lease()

    async def _hold_lease(self) -> None:
        requests = self._parts.requests
        if earlier := requests.running.get(self.item.id):
            earlier.abandon()  # its lease ran out, and the request came back to us
        lease = requests.leased[self.item.id] = self.item, self._ciphertext
        try:
            if earlier and earlier.settling:  # then it cannot be abandoned any more
                await earlier.settling.wait()
            outcome = await self._decrypt_and_run()
        finally:
            requests.release(lease)
        if outcome:
            await self._give_back(outcome)
        else:
            await self._hand_on()

    async def _decrypt_and_run(self) -> Outcome | None:
        """Return None for a request that leaves: it moves, waits again, or its lease is lost."""
        try:
            cipher, order = await self._opened()
            self._order = self._adopted(order)
            outcome = await self._run_unless_over(self._order, cipher, order.queue)
            run = self._parts.requests.running.get(self.item.id)
            if run and run.item == self.item:  # else it has come back under a new attempt
                self._ended = run
            await self._record_leaving()
            return outcome
        except (Unreadable, msgspec.DecodeError) as problem:
            log.warning("cannot read request %s: %s", self.item.id, problem)
            return Outcome()

    async def _opened(self) -> tuple[Cipher, Order]:
        """Raises Unreadable, msgspec.DecodeError."""
        item = self.item
        if not self._ciphertext:  # too large for the queue
            recorded = self._parts.connections.recorded
            self._ciphertext = await self._patiently(recorded.read, UUID(item.id))
        lookups = self._parts.connections.lookups
        cipher = await self._patiently(stored_keys.by_id, lookups, key_id(self._ciphertext))
        aad = request_rows.request_aad(_uuid_bytes(item.tenant), _uuid_bytes(item.id))
        return cipher, unpacked(cipher.decrypt(self._ciphertext[16:], aad))

    def _adopted(self, order: Order) -> Order:
        """Return the order as this engine takes it: it was prepared for its model's first one."""
        parts = self._parts
        if order.pool != parts.pool:
            order = msgspec.structs.replace(order, pool=parts.pool)
        if order.route == classes.JOB:  # its body is none of an engine's
            return order
        own = parts.engine.body_form
        return order if (_body_form(order) or own) == own else parts.engine.adopted(order)

    async def _record_leaving(self) -> None:
        """Put on record that a hosted engine may have read a request that now moves."""
        run = self._ended
        if run and run.moves and run.has_left:
            record = database_sync_to_async(failover.record_departure)
            await self._patiently(record, run.order, self._parts.engine.upstream)

    async def _patiently(self, ask: Callable[..., Awaitable[T]], *arguments: Any) -> T:
        """Wait for servers that are away for a moment: they must not cost an attempt."""
        while True:
            try:
                return await ask(*arguments)
            except (DatabaseError, MasterKeyUnavailable, *TROUBLE) as problem:
                pool = self._parts.pool
                log.warning("%s: waiting for PostgreSQL, Redis or a key: %s", pool, problem)
                await asyncio.sleep(AGAIN_S)

    # The run's work --------------------------------------------------------------------------
    async def _run_unless_over(
        self, order: Order, cipher: Cipher, routed_to: str
    ) -> Outcome | None:
        """`routed_to`: the pool that the order was sent to first."""
        if await self._was_handed_over():
            with contextlib.suppress(*TROUBLE):  # then it comes back to one of us
                await self._parts.connections.queue.end_lease(self.item, 0)
            return None
        if await self._is_over(order):
            return Outcome()  # only the queue had not heard of it
        run = await self._new_run(order, cipher, routed_to)
        if run is None:
            return None
        again = self.item.attempt > 1 or run.earlier.parked.returns > 0
        if not again:
            spans.past(order.trace, "queue", order.created_at, run.popped_at)
        self._parts.requests.running[self.item.id] = run
        self._parts.work_reports.look_on()
        if await self._is_cancelled(again=again):
            run.cancel()
        await self._parts.preemption.offer(run)
        return await self._traced_run(run, cipher)

    async def _was_handed_over(self) -> bool:
        """Return whether it has left for another pool: somebody died before this queue heard."""
        if self.item.attempt == 1:
            return False
        look = database_sync_to_async(failover.belongs_elsewhere)
        return await self._patiently(look, UUID(self.item.id), self._parts.pool)

    async def _is_over(self, order: Order) -> bool:
        may_be = self.item.attempt > 1 or time.time() - order.created_at > GIVEN_UP_S
        if not (may_be or classes.of(order.klass, order.route).checkpoints):
            return False
        return await self._patiently(database_sync_to_async(_is_over), order)

    async def _new_run(self, order: Order, cipher: Cipher, routed_to: str) -> Run | None:
        """Return the run; None for long work that another runner has by now."""
        parts, item, checkpoints = self._parts, self.item, None
        if classes.of(order.klass, order.route).checkpoints:
            if not await self._patiently(parts.connections.queue.holds, item):
                return None
            checkpoints = await self._patiently(RunCheckpoint.begin, order, cipher)
            tried = replace(item, attempt=checkpoints.attempts)
            earlier = EarlierAttempts(
                parked=checkpoints.parked,
                reported=checkpoints.reported,
                step=checkpoints.step,
                state=checkpoints.state(),
            )
        else:
            earlier, tried = await self._earlier_attempts(order), item
        services = RunServices(
            guard=parts.guard,
            elsewhere=partial(failover.next_pool, order, tried, parts.engine.config.id, routed_to),
            own_pool=partial(failover.own_pool, order),
            note_full=lambda failure: parts.slots.note_full(
                failure, parts.requests.running.values()
            ),
            free_slot=parts.slots.let_go,
            slots=parts.slots,
            answers=parts.connections.answers,
            checkpoints=checkpoints,
            preemption=parts.preemption,
            energy=parts.energy,
        )
        run = Run(order, item, parts.engine, earlier, services)
        run.handler = handler_of(order)(run)
        return run

    async def _earlier_attempts(self, order: Order) -> EarlierAttempts:
        parts, item, parked = self._parts, self.item, NEVER
        if classes.of(order.klass).preemptible:
            parked = await self._patiently(read, parts.connections.redis, order.id)
        events, version = list[bytes](), parts.engine.config.version
        if parked.events or (item.attempt > 1 and order.keeps_events):
            events, version = await self._patiently(self._sent_before)
        changed = bool(events) and version != parts.engine.config.version
        return EarlierAttempts(events, changed, parked, parked)

    async def _is_cancelled(self, *, again: bool) -> bool:
        """Return whether it is cancelled, even if the runner that got the note has died."""
        if self._parts.requests.is_cancelled(self.item.id):
            return True
        queue = self._parts.connections.queue
        return again and await self._patiently(queue.was_cancelled, self.item.id)

    async def _traced_run(self, run: Run, cipher: Cipher) -> Outcome | None:
        parts, order = self._parts, run.order
        connections, outcome = parts.connections, None
        with spans.continued(order.trace, "work") as span:
            try:
                outcome = await run.work_and_settle(
                    connections.session, connections.writer, connections.commits, cipher
                )
            finally:
                parts.watch.over(run, outcome)
            if span.is_on:
                engine = parts.engine.config.id
                span.tell(span_values.of_work(run.order, self.item, engine, outcome))
            return outcome

    async def _sent_before(self) -> tuple[list[bytes], str]:
        """Return the events that an earlier attempt gave out, and the version that gave them."""
        name = frames.history(_uuid_bytes(self.item.id))
        entries = await self._parts.connections.redis.call("XRANGE", name, "-", "+")
        events, upstream = list[bytes](), ""
        for frame in frames.in_entries(entries, name):
            upstream = upstream or frame.upstream
            if fresh := unseen(frame, len(events)):  # a write may have been repeated
                events += split(fresh.body)
        return events, frames.version_in(upstream)

    # The end -------------------------------------------------------------------------------------
    async def _give_back(self, outcome: Outcome) -> None:
        parts, item, order = self._parts, self.item, self._order
        before = self._ended.earlier.reported if self._ended else NEVER
        slot = limit_usage.slot(order) if order else await self._slot_on_record()
        set_aside = limit_usage.reserved_tokens(order) if order else 0
        used = limit_usage.used_of_a_minute(order, outcome)
        queue = parts.connections.queue
        with contextlib.suppress(*TROUBLE):  # the lease runs out, the sweeper finds it settled
            reported = parts.work_reports.over(item)
            calls = [
                queue.ending_lease(item, outcome.work_units - before.work_units, reported=reported),
                releasing(slot, set_aside, used, limit_usage.stored_bytes(outcome)),
            ]
            if classes.of(item.klass).preemptible:
                calls.append(queue.parking("over", item))
            await parts.connections.redis.run_all(calls)
            if before.times and order:
                await forget(parts.connections.redis, order)
        if order and classes.of(order.klass, order.route).checkpoints:
            # If the settlement is on record; else the work goes on from there.
            checkpoint = Checkpoint.objects.left_over().filter(pk=order.id)
            await self._patiently(database_sync_to_async(checkpoint.delete))

    async def _hand_on(self) -> None:
        """Hand a request over to another pool, or back to its queue; one that is lost is gone."""
        parts, item, run = self._parts, self.item, self._ended
        parts.work_reports.over(item)
        if not (run and self._order):
            return
        labels = work.labels(self._order, item.klass)
        if pool := run.moves:
            if checkpoints := run.services.checkpoints:
                await self._patiently(checkpoints.give_attempt_back)
            work.HANDED_OVER.of(*labels).value += 1
            queue = parts.connections.queue
            prefixes = prefix_hashes.of_order(self._order, item.klass)
            await self._patiently(failover.fail_over, queue, pool, item, self._ciphertext, prefixes)
        elif parked := run.parked:
            before = run.earlier.reported
            work.PREEMPTIONS.of(*labels).value += parked.times - before.times
            await self._patiently(parts.preemption.park, self._order, item, before, parked)

    async def _slot_on_record(self) -> HeldSlot:
        """Return the slot of a request that cannot be read any more: its key's limits hold it."""
        item = self.item
        rows = Completion.objects.filter(pk=UUID(item.id)).values_list("api_key_id", "route")
        row = await self._patiently(database_sync_to_async(rows.first))
        key, route = row or (None, "")
        takes_slot = limit_usage.takes_slot(item.klass, route)
        return HeldSlot(item.id, item.tenant, str(key) if key else "", takes_slot=takes_slot)


def _body_form(order: Order) -> str:
    """Orders of earlier versions do not say."""
    first = served().get(order.model)
    return order.body_form or (first.body_form if first else "")


def _is_over(order: Order) -> bool:
    """Return whether it is settled, or a failover of PostgreSQL has lost it."""
    if classes.of(order.klass, order.route).checkpoints:
        return not Completion.objects.open().filter(pk=order.id).exists()
    return Usage.objects.filter(completion_id=order.id).exists()


def _uuid_bytes(text: str) -> bytes:
    return bytes.fromhex(text.replace("-", ""))
