"""The state of a run: what it begins with, the parts that its runner lends it, signals, output."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from inference.cache.levels import SecondLevel
from inference.engines import Pool
from inference.engines.base import Engine, EngineFailed, EngineFull
from inference.errors import error_body
from inference.order import Item, Order
from inference.record.parked import NEVER, Parked
from inference.stream import frames
from inference.stream.frames import Frame, Kind
from inference.worker.guard import Guard
from inference.worker.run.further_slots import FurtherSlots
from inference.worker.run.run_checkpoint import RunCheckpoint

if TYPE_CHECKING:
    from inference.worker.energy_meter import EnergyMeter
    from inference.worker.preemption import Preemption


@dataclass
class EarlierAttempts:
    """Results of an order from before this attempt.

    `events`: those that readers have, or that were kept when it was parked.
    `parked`: what it had taken when it was parked last. `reported`: the same, as it began here.
    `step` and `state`: those of its checkpoint, if its class has them.
    """

    events: Sequence[bytes] = ()
    of_another_version: bool = False
    parked: Parked = NEVER
    reported: Parked = NEVER
    step: int = 0
    state: bytes = b""


@dataclass(frozen=True)
class RunServices:
    """Parts that a runner lends a run; in a test none.

    `checkpoints`: for a class of work that has them. `preemption` offers the slot to higher
    classes. `elsewhere` returns another pool that can take the order, `own_pool` its own while that
    takes requests. `note_full` hears of each 429 of the engine. `free_slot` is called as soon as
    the engine is free of a parked order. `slots` has further ones beside the order's own. `answers`
    stores what may be sent again. `energy` measures what the work takes, where that can be known.
    """

    guard: Guard = field(default_factory=Guard)
    elsewhere: Callable[..., Pool | None] = lambda **_: None  # (in_house: bool = False)
    own_pool: Callable[[], Pool | None] = lambda: None
    note_full: Callable[[EngineFull], None] = lambda _failure: None
    free_slot: Callable[[], None] = lambda: None
    slots: FurtherSlots = field(default_factory=FurtherSlots)
    answers: SecondLevel | None = None
    checkpoints: RunCheckpoint | None = None
    preemption: "Preemption | None" = None
    energy: "EnergyMeter | None" = None


class Output:
    """The output for readers: numbered events in frames.

    `events`: all of the order so far, those of earlier attempts first. `sent` counts the events
    that readers have, `watched` those that pages have been told of.
    """

    def __init__(self, order: Order, item: Item, engine: Engine, events: Sequence[bytes]) -> None:
        self._order, self._attempt, self._engine = order, item.attempt, engine
        self.events = list(events)
        self.sent = self.watched = len(self.events)
        self.preemptions = 0
        self._names_engine = True  # the next frame

    def name_engine_again(self) -> None:
        """Name the engine in the next frame: resuming from it needs the version that began."""
        self._names_engine = True

    def frame(self, kind: Kind, body: bytes, status: int = 200, retry_after: int = 0) -> Frame:
        """Return a frame that ends with the last of the events sent."""
        upstream = ""
        if kind or self._names_engine:
            config = self._engine.config
            upstream = frames.upstream(self._order.queue, config.id, config.kind, config.version)
        self._names_engine = False
        return Frame(
            self._order.id.bytes,
            self._attempt,
            self.sent,
            kind,
            body,
            status,
            retry_after,
            upstream,
            self.preemptions,
        )

    def error_frame(self, failure: EngineFailed) -> Frame:
        self.sent += 1
        body = error_body(failure.message, failure.code, failure.status)
        return self.frame(Kind.ERROR, body, failure.status, failure.retry_after)


class ParksHere(Exception):
    """The run shall park, and can be resumed from here."""

    is_no_failure = True  # for its span


class Signals:
    """Signals to a run while it works, and the interruption of its work."""

    def __init__(self) -> None:
        self.cancelled = False
        self.lease_lost = False
        self.lost: EngineFailed | None = None  # the engine has gone silent
        self.must_park = False  # a higher class waits for the slot, or the worker stops
        self.worker_stops = False  # then it parks whoever waits
        self.parks_here = False
        self._working: asyncio.Task[Any] | None = None

    @property
    def works(self) -> bool:
        """Returns whether the run waits for its engine, and not for its settlement."""
        return self._working is not None

    @property
    def is_expected(self) -> bool:
        """Returns whether somebody wanted the work to be interrupted."""
        return self.cancelled or self.parks_here

    def cancel(self) -> None:
        if not self.cancelled:
            self._interrupt()
        self.cancelled = True

    def lose_lease(self) -> None:
        """Another runner has the order by now: stop, and leave no trace."""
        self.lease_lost = True
        self.cancel()

    def lose_engine(self, failure: EngineFailed) -> None:
        """The engine does not answer any more, and this is not going to end."""
        self.lost = failure
        if not self.cancelled:
            self._interrupt()

    def park_now(self) -> None:
        """Interrupt the work at a place from which it can be resumed."""
        if self._working:
            self.parks_here = True
            self._interrupt()

    async def bounded(self, work: Awaitable[None], until: float) -> None:
        """Do the work. Raises TimeoutError at `until`, in seconds since the epoch."""
        task = asyncio.current_task()
        assert task
        cancels, self._working = task.cancelling(), task
        try:
            async with asyncio.timeout(until - time.time()):
                await work
        finally:
            self._working = None
            while task.cancelling() > cancels:  # of the work: the task has it to settle
                task.uncancel()

    def _interrupt(self) -> None:
        if self._working:
            self._working.cancel()
