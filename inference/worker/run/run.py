"""One order while a worker has it: attempts, deadline, parking, moves and settlement.

They are the same for all classes of work. The handler does the work of a class
(worker/handlers/base.py).
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from django.db import DatabaseError

from audit.keys.keyring import Cipher
from audit.trail.commit_queue import Row
from audit.trail.group_commit import GroupCommit, StoreUnavailable
from inference import classes
from inference.cache.canonical import is_present
from inference.engines import Pool, adapters, pools_of
from inference.engines.base import (
    AnswerBroken,
    Engine,
    EngineAway,
    EngineFailed,
    EngineFull,
    NotOffered,
    WorkerLost,
)
from inference.engines.transport.session import EngineSession
from inference.errors import Cancelled
from inference.local_only import local_only_reason
from inference.metrics import work
from inference.order import Item, Order
from inference.record.outcome import Outcome
from inference.record.parked import Parked
from inference.record.request_rows import milliseconds, settled_row
from inference.record.settle import settle
from inference.record.work_units import WorkUnits
from inference.stream.frames import Frame, Kind
from inference.stream.writer import Writer
from inference.tracing.spans import step
from inference.worker.run.state import EarlierAttempts, Output, ParksHere, RunServices, Signals

if TYPE_CHECKING:
    from inference.worker.handlers.base import Handler

log = logging.getLogger(__name__)
T = TypeVar("T")
AGAIN_S = 0.5
SILENT_S = 60.0  # an engine that says nothing for so long is at fault, whatever the deadline was


class Run:
    """The work on one order by this worker.

    `handler` does the work of the order's class: whoever makes the run sets it.
    """

    handler: "Handler"

    def __init__(
        self,
        order: Order,
        item: Item,
        engine: Engine,
        earlier: EarlierAttempts | None = None,
        services: RunServices | None = None,
    ) -> None:
        self.order, self.item, self.engine = order, item, engine
        self.earlier, self.services = earlier or EarlierAttempts(), services or RunServices()
        self.signals = Signals()
        self.output = Output(order, item, engine, self.earlier.events)
        self.output.preemptions = self.earlier.parked.times
        self.popped_at = time.time()
        self.failure: EngineFailed | None = None  # as the work ended here
        self.settling: asyncio.Event | None = None  # set when the settlement has ended
        self.moves: Pool | None = None  # to where: nothing, or half of it, has come of it here
        self.has_left = False  # this installation: a hosted engine may have read it
        self.parked: Parked | None = None  # a higher class has its slot: what it has taken
        self.millijoules = self.earlier.parked.millijoules  # so far; None: not measured

    # What a runner tells it ----------------------------------------------------------------------
    def park(self) -> bool:
        """Stop as soon as possible for a higher class. Return False where that cannot be."""
        signals = self.signals
        if signals.cancelled or signals.lost or not self.handler.may_requeue():
            return False
        signals.must_park = True
        if signals.works and self.handler.can_pause_here():
            signals.park_now()
        return True

    def stop_if_told(self) -> None:
        """Raise what ends the work, if anything does; call it between two steps."""
        if not self.signals.must_park:
            return
        if self.handler.can_pause_here() and self.handler.may_requeue():
            self.signals.parks_here = True
            raise ParksHere

    def park_at_stop(self) -> None:
        """Go back into the queue after this step: the worker stops. Others run to their end."""
        if self.services.checkpoints:
            self.signals.must_park = self.signals.worker_stops = True

    def cancel(self) -> None:
        self.signals.cancel()

    def abandon(self) -> None:
        self.signals.lose_lease()

    # What long work tells it ---------------------------------------------------------------------
    async def checkpoint(self, step: int, state: bytes, work_units: WorkUnits) -> None:
        """Make a step durable: the work goes on from here, whatever happens to this worker.

        `work_units` are those of all steps so far. Raises what ends the work: another run may
        have taken it over.
        """
        checkpoints = self.services.checkpoints
        assert checkpoints, f"{self.order.klass} is a class without checkpoints"
        is_first, before_ms = step == self.earlier.step + 1, checkpoints.parked.gpu_ms
        if not await self._patiently(checkpoints.write, step, state, work_units, self.queue_ms):
            self.abandon()
            await asyncio.sleep(0)  # raises CancelledError
        took = work.GPU_SECONDS.of(*work.labels(self.order, self.item.klass))
        took.value += work_units.gpu_ms // 1000 - before_ms // 1000  # counters hold whole numbers
        if await self._owes_its_slot():
            self.signals.parks_here = True
            raise ParksHere
        if is_first and self.services.preemption:  # it may have had an exceptional turn: that ends
            await self.services.preemption.offer(self)

    async def _owes_its_slot(self) -> bool:
        """Return whether a higher class waits for it still: a step may have lasted for minutes."""
        preemption = self.services.preemption
        if preemption and self.signals.must_park and not self.signals.worker_stops:
            self.signals.must_park = await preemption.wants_slot(self)
        return self.signals.must_park

    async def note_parking(self) -> Parked:
        """Count a preemption, or a stop of the worker. Return what the work has taken."""
        assert self.services.checkpoints
        return await self._patiently(
            partial(self.services.checkpoints.note_parking, stops=self.signals.worker_stops)
        )

    async def _patiently(self, write: Callable[..., Awaitable[T]], *arguments: Any) -> T:
        """Wait for a PostgreSQL that is away: no step may be lost, and none can be added."""
        while True:
            try:
                return await write(*arguments)
            except DatabaseError as problem:
                log.warning("request %s: waiting for PostgreSQL: %s", self.order.id, problem)
                await asyncio.sleep(AGAIN_S)

    # Its life ------------------------------------------------------------------------------------
    async def work_and_settle(
        self, session: EngineSession, writer: Writer, commits: GroupCommit, cipher: Cipher
    ) -> Outcome | None:
        """Return None when the lease was lost, or the order moves to another pool or parks.

        The final frame leaves after the settlement is durable, and only if it is this one that is
        on record.
        """
        signals = self.signals
        failure = self.failure = await self._measured_work(session, writer)
        if failure:
            failure.cause = self.engine.shown_cause(failure.cause)
        parks = signals.parks_here and not failure
        self.services.guard.report_outcome(self.item, failure, cancelled=signals.cancelled or parks)
        if parks and await self._park(session, writer):
            return None
        if failure and not signals.cancelled:
            self.moves = self._next_pool(failure)
        if self.moves and self.output.sent:
            await writer.written(self.order.id.bytes)
        if signals.lease_lost or self.moves:
            return None
        outcome, failure = await self._outcome(session, failure)
        if signals.lease_lost:  # meanwhile: it was not cancelled, as the outcome says
            return None
        await self._settle(outcome, failure, writer, commits, cipher)
        return outcome

    async def _outcome(
        self, session: EngineSession, failure: EngineFailed | None
    ) -> tuple[Outcome, EngineFailed | None]:
        """Return how it ended. An answer of which no outcome can be made has failed.

        Unsettled it would be generated again, and fail again.
        """
        try:
            return await self.handler.outcome(session, failure), failure
        except Exception:
            log.exception("the outcome of request %s failed", self.order.id)
            failure = failure or self._our_fault()
            return self.ending(failure), failure

    async def _park(self, session: EngineSession, writer: Writer) -> bool:
        """Return False for an order that is cancelled meanwhile, and has to be settled."""
        self.services.free_slot()
        parked = await self.handler.park(session, writer)
        if self.signals.cancelled:
            return False
        self.parked = parked
        return True

    async def _settle(
        self,
        outcome: Outcome,
        failure: EngineFailed | None,
        writer: Writer,
        commits: GroupCommit,
        cipher: Cipher,
    ) -> None:
        row = settled_row(self.order, outcome, cipher, time.time())
        row["klass"] = self.item.klass  # an operator may have lowered it
        frame = await self._last_frame(commits, row, _shown_failure(outcome, failure))
        await self._store(outcome, frame, cipher)
        if frame:
            work.settled(self.order, self.item.klass, outcome)
            writer.put(self.order, frame)

    async def _last_frame(
        self, commits: GroupCommit, row: Row, failure: EngineFailed | None
    ) -> Frame | None:
        """Return the last frame; None where another end is on record (intake/answer_stream.py)."""
        self.settling = asyncio.Event()
        try:
            with step("settle"):
                if not await settle(commits, row):
                    return None
        except StoreUnavailable:
            failure = EngineFailed(503, "not_recorded", "the answer could not be put on record")
        finally:
            self.settling.set()
        return self.output.error_frame(failure) if failure else self.handler.last_frame()

    async def _store(self, outcome: Outcome, frame: Frame | None, cipher: Cipher) -> None:
        """Store a whole answer for identical requests, or tell them to wait no longer."""
        answers = self.services.answers
        if not (self.order.cached and answers):
            return
        if outcome.state == "cancelled":
            await answers.give_up(self.order)
            return
        whole = frame is not None and frame.kind is not Kind.ERROR
        good = whole and is_present(self.order.cached, self.engine.config)
        await answers.end(self.order, outcome if good else None, cipher)

    # Its work ------------------------------------------------------------------------------------
    async def _measured_work(self, session: EngineSession, writer: Writer) -> EngineFailed | None:
        """Do the work, and add the energy that it took."""
        if not (meter := self.services.energy):
            return await self._done_or_failed(session, writer)
        mark = meter.begin()
        try:
            return await self._done_or_failed(session, writer)
        finally:
            if (taken := meter.end(mark)) is not None:
                self.millijoules = (self.millijoules or 0) + taken

    async def _done_or_failed(self, session: EngineSession, writer: Writer) -> EngineFailed | None:
        """Do the work. Return None when nothing failed, or it was cancelled."""
        if self._attempts > classes.of(self.order.klass, self.order.route).most_attempts:
            return WorkerLost(500, "every worker that ran this died")
        if self.must_stay_here:  # whatever routed it here
            reason = local_only_reason(self.order.local_only_by)
            message = f"this request may not leave this installation: {reason}"
            return EngineFailed(403, "local_only", message)
        if self.order.adapter and adapters.has_ended(self.order.adapter.version):
            return EngineFailed(404, "model_not_found", "this adapter has been deleted")
        if self.signals.cancelled:
            return None
        until = classes.of(self.order.klass, self.order.route).run_deadline(
            self.order.deadline, self.popped_at
        )
        try:
            await self.signals.bounded(self._handler_work(session, writer), until)
        except EngineAway as away:
            away.message = _why_it_stays(self.order) or away.message
            return away
        except EngineFailed as failure:
            return self.engine.explained(failure, self.order)
        except TimeoutError:
            return self._late()
        except ParksHere:
            return None
        except asyncio.CancelledError:
            if self.signals.lost and not self.signals.cancelled:
                return self.signals.lost
            if not self.signals.is_expected:
                raise
        except Exception:
            log.exception("request %s failed", self.order.id)
            return self._our_fault()
        return None

    @property
    def _attempts(self) -> int:
        """Return how many workers have had it, this one included: with checkpoints since a step."""
        checkpoints = self.services.checkpoints
        return checkpoints.attempts if checkpoints else self.item.attempt

    async def _handler_work(self, session: EngineSession, writer: Writer) -> None:
        guard = self.services.guard
        if guard.has_trouble:
            waits = bool(self.output.sent) or self.services.elsewhere() is None
            await guard.enter(str(self.item), waits=waits)
        if self.signals.worker_stops:
            self.signals.parks_here = True
            raise ParksHere
        await self.handler.work(session, writer)

    def _late(self) -> EngineFailed:
        failure = EngineFailed(504, "deadline_exceeded", "the answer took too long")
        # A whole answer may just be long.
        silent = self.order.stream and not self.output.sent and self.handler.waits_for_engine
        failure.engines_fault = silent and time.time() - self.popped_at > SILENT_S
        failure.cause = "it did not answer in time"
        return failure

    def _our_fault(self) -> EngineFailed:
        """A fault of the platform: run again, it would only fail again."""
        failure = EngineFailed(502, "engine_failed", self.handler.when_broken)
        failure.engines_fault = False
        return failure

    # Other pools ---------------------------------------------------------------------------------
    def _next_pool(self, failure: EngineFailed) -> Pool | None:
        """Return the pool whose engines begin the order anew, or resume it."""
        services = self.services
        if self.may_move(failure):
            in_house = self.stays_in_house(failure)
            waits = in_house and isinstance(failure, EngineFull)
            return services.elsewhere(in_house=in_house) or (services.own_pool() if waits else None)
        breaks_off = self.output.sent and self.item.attempt == 1 and failure.counts
        pool = services.elsewhere() if breaks_off else None
        return pool if pool and self.handler.resumes_in(pool) else None

    def may_move(self, failure: EngineFailed) -> bool:
        """Another engine can begin anew where nothing of this one's answer was given out."""
        if self.output.sent or (isinstance(failure, AnswerBroken) and self.item.attempt > 1):
            return False
        others_may = failure.counts or isinstance(failure, (EngineAway, NotOffered))
        return others_may or self.must_stay_here

    def stays_in_house(self, failure: EngineFailed) -> bool:
        """No hosted pool may take an order whose engine is here, and in no trouble."""
        works = isinstance(failure, (EngineFull, NotOffered)) and not failure.counts
        return works and not self.engine.config.hosted

    @property
    def must_stay_here(self) -> bool:
        """Returns whether the order may not leave this installation, and this engine is hosted."""
        return self.order.local_only and self.engine.config.hosted

    # How it ends ---------------------------------------------------------------------------------
    def ending(self, failure: EngineFailed | None, finish_reason: str = "stop") -> Outcome:
        """Return how it ended; a handler adds what it took. `finish_reason`: if it is done."""
        cancelled = self.signals.cancelled
        reason = "cancelled" if cancelled else "error" if failure else finish_reason
        return Outcome(
            state="cancelled" if cancelled else "failed" if failure else "done",
            status=499 if cancelled else failure.status if failure else 200,
            finish_reason=str(reason).replace("\0", "")[:20],  # PostgreSQL takes no NUL
            error_code=failure.code if failure else "",
            attempts=self.item.attempt,
            preemptions=self.earlier.parked.times,
            queue_ms=self.queue_ms,
            millijoules=self.millijoules,
        )

    @property
    def queue_ms(self) -> int:
        """Milliseconds until it first began."""
        before = self.earlier.parked.queue_ms
        return self.since_receipt(self.popped_at) if before is None else before

    def since_receipt(self, at: float) -> int:
        """Milliseconds."""
        return milliseconds(at - self.order.created_at)


def _shown_failure(outcome: Outcome, failure: EngineFailed | None) -> EngineFailed | None:
    """A cancelled answer must not end like one that is whole."""
    if outcome.state != "cancelled":
        return failure
    return EngineFailed(Cancelled.status, Cancelled.code, Cancelled().message)


def _why_it_stays(order: Order) -> str:
    """Return why no hosted pool takes the request of an engine that is away; "" where one may."""
    if not (order.local_only and any(pool.hosted for pool in pools_of(order.model))):
        return ""
    return (
        "no engine of this installation answers, and this request may not leave it: "
        f"{local_only_reason(order.local_only_by)}"
    )
