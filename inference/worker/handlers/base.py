"""The contract of a handler: how the work of a class is done, and what every class owes.

One handler, one file, found by the dict HANDLERS in `handlers/__init__.py`.
"""

import asyncio
import logging
import time
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec

from audit.keys.keyring import Cipher
from audit.trail.fair_queue import Row
from audit.trail.group_commit import GroupCommit, StoreUnavailable
from inference import classes
from inference.cache.second_level import SecondLevel
from inference.cache.versions import is_present
from inference.engines import Pool, pools_of
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
from inference.errors import Cancelled, error_body
from inference.local_only import local_only_reason
from inference.metrics import work
from inference.order import Item, Order
from inference.record.parked import NEVER, Parked
from inference.record.settling import settle
from inference.record.statements import Outcome, milliseconds, settled_row
from inference.stream import frames
from inference.stream.frames import Frame, Kind
from inference.stream.writer import Writer
from inference.tracing.spans import step
from inference.worker.guard import Guard

log = logging.getLogger(__name__)
MAX_ATTEMPTS = 3
SILENT_S = 60.0  # an engine that says nothing for so long is at fault, whatever the deadline was


def nowhere(*, in_house: bool = False) -> None:
    """For who has no other pool."""
    return


def unheard(_refusal: EngineFull) -> None:
    """For who has no runner."""
    return


def _told_of(outcome: Outcome, failure: EngineFailed | None) -> EngineFailed | None:
    """The failure that its reader is told: an answer that was cancelled does not end like one that
    is whole.
    """
    if outcome.state != "cancelled":
        return failure
    return EngineFailed(Cancelled.status, Cancelled.code, Cancelled().message)


class _StopsHere(Exception):
    """It was told to wait again, and can be gone on with from here."""

    is_no_failure = True  # for its span


def _why_it_stays(order: Order) -> str:
    """Where a hosted pool would have taken the request of an engine that is away."""
    if not (order.local_only and any(pool.hosted for pool in pools_of(order.model))):
        return ""
    return (
        "no engine of this installation answers, and this request may not leave it: "
        f"{local_only_reason(order.local_only_by)}"
    )


class Handler(ABC):
    """One order on its way. `cancel` stops the work and settles what there is.

    A class of work says what it does (`work`), what that took (`outcome`) and how it ends
    (`last_frame`). Attempts, the deadline and the settlement are the same for all.
    """

    when_broken = "the request could not be processed"  # the client's words for a bug of ours

    def __init__(
        self, order: Order, item: Item, engine: Engine, sent_before: list[bytes] | None = None
    ) -> None:
        self.order, self.item, self.engine = order, item, engine
        self.sent_before = len(sent_before or ())  # by an earlier attempt: cannot be taken back
        self.sent_events = list(sent_before or ())
        self.sent = len(self.sent_events)
        self.watched = self.sent_before  # events that pages have been told of (engine_metrics.py)
        self.of_another_version = False  # what was sent before
        self.popped_at = time.time()
        self.cancelled = False
        self.lease_lost = False
        self.guard = Guard()
        self.elsewhere: Callable[..., Pool | None] = nowhere  # that can take it
        self.own_pool: Callable[[], Pool | None] = nowhere  # while it takes requests
        self.full: Callable[[EngineFull], None] = unheard  # told of each 429 of the engine
        self.moves: Pool | None = None  # and has to: nothing, or half of it, has come of it here
        self.settling: asyncio.Event | None = None  # set when that has ended
        self.lost: EngineFailed | None = None  # the engine has gone silent
        self.failure: EngineFailed | None = None  # as it ended here
        self.has_left = False  # this installation: a hosted engine may have read it
        self.answers: SecondLevel | None = None  # where what is asked for again is kept
        self.parked_before = self.charged_for = NEVER
        self.waits_again: Parked | None = None  # a higher class has its slot: what it has taken
        self.let_go: Callable[[], None] = nowhere  # called as soon as the engine is free of it
        self._told_to_wait = self._stops_here = False
        self._unnamed = True  # no frame has named the engine
        self._working: asyncio.Task[Any] | None = None  # the one that `cancel` interrupts

    # What a class of work says --------------------------------------------------------------------
    @abstractmethod
    async def work(self, session: EngineSession, writer: Writer) -> None:
        """Raises EngineFailed. It is interrupted by `cancel`, and at the order's deadline."""

    @abstractmethod
    async def outcome(self, session: EngineSession, failure: EngineFailed | None) -> Outcome:
        """What it took and what is kept of it, also of work that failed or was cancelled."""

    @abstractmethod
    def last_frame(self) -> Frame:
        """Of work that has not failed: what its reader gets once it is on record."""

    def everything_sent(self) -> Frame | None:
        """All events so far in one frame, for readers whose Redis lost them."""
        return None

    def may_be_parked(self) -> bool:
        """Sooner or later, if somebody of a higher class needs its slot."""
        return False

    def can_wait_again(self) -> bool:
        """Whether nothing is lost when it is parked now."""
        return False

    def stops_well(self) -> bool:
        """Whether it can be gone on with from the very place where it is."""
        return True

    async def set_aside(self, session: EngineSession, writer: Writer) -> Parked:
        """Keeps what there is of it in Redis, and says what that took."""
        return msgspec.structs.replace(self.parked_before, times=self.parked_before.times + 1)

    @property
    def heard(self) -> int:
        """Events that have come of it, also those that its reader has not been given."""
        return self.sent

    @property
    def is_streamed(self) -> bool:
        """Whether something comes of it while it runs."""
        return self.order.stream

    @property
    def works(self) -> bool:
        """Whether it waits for its engine, and not for its settlement."""
        return self._working is not None

    @property
    def is_let_in(self) -> bool:
        """Whether the engine works for it, as far as can be seen."""
        return False

    @property
    def cost_so_far(self) -> int:
        """In the fair queue's unit, as far as it can be seen while it works (Outcome.cost)."""
        return 0

    # What a runner does with it -------------------------------------------------------------------
    def park(self) -> bool:
        """Somebody of a higher class waits: it stops as soon as it can. False where it cannot."""
        if self.cancelled or self.lost or not self.can_wait_again():
            return False
        self._told_to_wait = True
        if self._working and self.stops_well():
            self._stops_here = True
            self._working.cancel()
        return True

    def _stop_if_told(self) -> None:
        """Between two pieces of an answer. Raises what ends the work."""
        if self._told_to_wait and self.stops_well() and self.can_wait_again():
            self._stops_here = True
            raise _StopsHere

    def cancel(self) -> None:
        if self._working and not self.cancelled:
            self._working.cancel()
        self.cancelled = True

    def engine_lost(self, failure: EngineFailed) -> None:
        """The engine does not answer any more, and this is not going to end."""
        self.lost = failure
        if self._working and not self.cancelled:
            self._working.cancel()

    def abandon(self) -> None:
        """Another runner has it by now: stop, and leave no trace."""
        self.lease_lost = True
        self.cancel()

    async def run(
        self,
        session: EngineSession,
        writer: Writer,
        commits: GroupCommit,
        cipher: Cipher,
    ) -> Outcome | None:
        """None when the lease was lost, it moves to another pool, or waits again.

        The final frame leaves after the settlement is durable, and only if it is this one that is
        on record.
        """
        failure = self.failure = await self._failure(session, writer)
        if failure:
            failure.cause = self.engine.shown_cause(failure.cause)
        stops = self._stops_here and not failure
        self.guard.tell(self.item, failure, cancelled=self.cancelled or stops)
        if stops and await self._wait_again(session, writer):
            return None
        if failure and not self.cancelled:
            self.moves = self._next(failure)
        if self.moves and self.sent:
            await writer.written(self.order.id.bytes)
        if self.lease_lost or self.moves:
            return None
        outcome = await self.outcome(session, failure)
        if self.lease_lost:  # meanwhile: it was not cancelled, as the outcome says
            return None
        row = settled_row(self.order, outcome, cipher, time.time())
        row["klass"] = self.item.klass  # an operator may have lowered it
        frame = await self._settled(commits, row, _told_of(outcome, failure))
        await self._keep(outcome, frame, cipher)
        if frame:
            work.settled(self.order, self.item.klass, outcome)
            writer.put(self.order, frame)
        return outcome

    async def _wait_again(self, session: EngineSession, writer: Writer) -> bool:
        """False for one that is cancelled meanwhile, and has to be settled."""
        self.let_go()
        parked = await self.set_aside(session, writer)
        if self.cancelled:
            return False
        self.waits_again = parked
        return True

    async def _settled(
        self, commits: GroupCommit, row: Row, failure: EngineFailed | None
    ) -> Frame | None:
        """The last frame; None where another end is on record (intake/recovery.py tells it)."""
        self.settling = asyncio.Event()
        try:
            with step("settle"):
                if not await settle(commits, row):
                    return None
        except StoreUnavailable:
            failure = EngineFailed(503, "not_recorded", "the answer could not be put on record")
        finally:
            self.settling.set()
        return self._error_frame(failure) if failure else self.last_frame()

    async def _keep(self, outcome: Outcome, frame: Frame | None, cipher: Cipher) -> None:
        """For whoever asks the same: its answer if it is whole, or that nobody need wait for it."""
        if not (self.order.cached and self.answers):
            return
        if outcome.state == "cancelled":
            await self.answers.give_up(self.order)
            return
        whole = frame is not None and frame.kind is not Kind.ERROR
        good = whole and is_present(self.order.cached, self.engine.config)
        await self.answers.end(self.order, outcome if good else None, cipher)

    def _next(self, failure: EngineFailed) -> Pool | None:
        """Whose engines begin it anew, or go on with it."""
        if self.may_move(failure):
            in_house = self.stays_in_house(failure)
            waits = in_house and isinstance(failure, EngineFull)
            return self.elsewhere(in_house=in_house) or (self.own_pool() if waits else None)
        breaks_off = self.sent and self.item.attempt == 1 and failure.counts
        pool = self.elsewhere() if breaks_off else None
        return pool if pool and self.goes_on_in(pool) else None

    def goes_on_in(self, pool: Pool) -> bool:
        """Whether each of its engines can take up what was given out so far."""
        return False

    def may_move(self, failure: EngineFailed) -> bool:
        """Whether another engine can begin anew: nothing of this one's answer was given out."""
        if self.sent or (isinstance(failure, AnswerBroken) and self.item.attempt > 1):
            return False
        others_may = failure.counts or isinstance(failure, (EngineAway, NotOffered))
        return others_may or self.must_stay_here

    def stays_in_house(self, failure: EngineFailed) -> bool:
        """Whether no hosted pool may take it: the engine is here, and in no trouble."""
        works = isinstance(failure, (EngineFull, NotOffered)) and not failure.counts
        return works and not self.engine.config.hosted

    @property
    def must_stay_here(self) -> bool:
        """Whether this engine may see nothing of the request."""
        return self.order.local_only and self.engine.config.hosted

    async def _failure(self, session: EngineSession, writer: Writer) -> EngineFailed | None:
        """Works; None when nothing failed, or it was cancelled."""
        if self.item.attempt > MAX_ATTEMPTS:
            return WorkerLost(500, "every worker that ran this died")
        if self.must_stay_here:  # whatever routed it here
            reason = local_only_reason(self.order.local_only_by)
            message = f"this request may not leave this installation: {reason}"
            return EngineFailed(403, "local_only", message)
        if self.cancelled:
            return None
        try:
            await self._bounded(self._work(session, writer))
        except EngineAway as away:
            away.message = _why_it_stays(self.order) or away.message
            return away
        except EngineFailed as failure:
            return failure
        except TimeoutError:
            return self._late()
        except _StopsHere:
            return None
        except asyncio.CancelledError:
            if self.lost and not self.cancelled:
                return self.lost
            if not (self.cancelled or self._stops_here):
                raise
        except Exception:
            log.exception("request %s failed", self.order.id)
            return self._our_fault()
        return None

    def _our_fault(self) -> EngineFailed:
        """A fault of the platform: run again, it would only fail again."""
        failure = EngineFailed(502, "engine_failed", self.when_broken)
        failure.engines_fault = False
        return failure

    async def _work(self, session: EngineSession, writer: Writer) -> None:
        if self.guard.has_trouble:
            waits = bool(self.sent) or self.elsewhere() is None
            await self.guard.enter(str(self.item), waits=waits)
        await self.work(session, writer)

    def _late(self) -> EngineFailed:
        failure = EngineFailed(504, "deadline_exceeded", "the answer took too long")
        silent = self.order.stream and not self.sent  # a whole answer may just be long
        failure.engines_fault = silent and time.time() - self.popped_at > SILENT_S
        failure.cause = "it did not answer in time"
        return failure

    async def _bounded(self, work: Awaitable[None]) -> None:
        task = asyncio.current_task()
        assert task
        cancels, self._working = task.cancelling(), task
        try:
            async with asyncio.timeout(self._until() - time.time()):
                await work
        finally:
            self._working = None
            while task.cancelling() > cancels:  # of the work: the task has it to settle
                task.uncancel()

    def _until(self) -> float:
        work_class = classes.of(self.order.klass)
        return work_class.run_deadline(self.order.deadline, self.popped_at)

    # How it ends ----------------------------------------------------------------------------------
    def ending(self, failure: EngineFailed | None, finish_reason: str = "stop") -> Outcome:
        """How it ended; a class adds what it took. `finish_reason`: of work that is done."""
        how = "cancelled" if self.cancelled else "error" if failure else finish_reason
        return Outcome(
            state="cancelled" if self.cancelled else "failed" if failure else "done",
            status=499 if self.cancelled else failure.status if failure else 200,
            finish_reason=str(how)[:20],
            error_code=failure.code if failure else "",
            attempts=self.item.attempt,
            preemptions=self.parked_before.times,
            queue_ms=self.queue_ms,
        )

    @property
    def queue_ms(self) -> int:
        """Until it first began."""
        before = self.parked_before.queue_ms
        return self.since_receipt(self.popped_at) if before is None else before

    def since_receipt(self, at: float) -> int:
        """Milliseconds."""
        return milliseconds(at - self.order.created_at)

    def _error_frame(self, failure: EngineFailed) -> Frame:
        self.sent += 1
        body = error_body(failure.message, failure.code, failure.status)
        return self.frame(Kind.ERROR, body, failure.status, failure.retry_after)

    def frame(self, kind: Kind, body: bytes, status: int = 200, retry_after: int = 0) -> Frame:
        """`sent` counts the events up to the last one in it."""
        upstream, self._unnamed = (self._upstream() if kind or self._unnamed else ""), False
        return Frame(
            self.order.id.bytes,
            self.item.attempt,
            self.sent,
            kind,
            body,
            status,
            retry_after,
            upstream,
            self.parked_before.times,
        )

    def _upstream(self) -> str:
        config = self.engine.config
        return frames.upstream(self.order.queue, config.id, config.kind, config.version)
