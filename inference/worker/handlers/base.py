"""The contract of a handler: how the work of a class is done.

One handler, one file, found by the dict HANDLERS in `worker/handlers/__init__.py`.
"""

from abc import ABC, abstractmethod
from weakref import proxy

import msgspec

from inference.engines import Pool
from inference.engines.base import EngineFailed
from inference.engines.transport.session import EngineSession
from inference.order import Order
from inference.record.outcome import Outcome
from inference.record.parked import Parked
from inference.stream.frames import Frame
from inference.stream.writer import Writer
from inference.worker.run.run import Run


class Handler(ABC):
    """The work on one order: what it does, what that took, and how it ends.

    Everything else about the order is its run's: attempts, deadline, parking, settlement. Whoever
    makes a run makes its handler too, and attaches it: `run.handler = handler_of(order)(run)`.
    """

    when_broken = "the request could not be processed"  # the client's words for a bug of ours
    waits_for_engine = True  # an engine that says nothing for long is at fault

    def __init__(self, run: Run) -> None:
        # The run holds its handler: a strong reference back is left to the garbage collector, which
        # then runs between requests.
        self.run: Run = proxy(run)
        self.item, self.engine, self.output = run.item, run.engine, run.output

    @property
    def order(self) -> Order:
        """Returns the run's order, which may become one that goes on with what there is."""
        return self.run.order

    @abstractmethod
    async def work(self, session: EngineSession, writer: Writer) -> None:
        """Do the work. Raises EngineFailed.

        It is interrupted by `Run.cancel`, and at the order's deadline.
        """

    @abstractmethod
    async def outcome(self, session: EngineSession, failure: EngineFailed | None) -> Outcome:
        """Returns what the work took and what is kept of it, also if it failed or was cancelled."""

    @abstractmethod
    def last_frame(self) -> Frame:
        """Returns what readers get once work that has not failed is on record."""

    def everything_sent(self) -> Frame | None:
        """Returns all events so far in one frame, for readers whose Redis lost them."""
        return None

    # Parking -------------------------------------------------------------------------------------
    def may_be_parked(self) -> bool:
        """Returns whether it can be parked now or later, if a higher class needs its slot."""
        return False

    def may_requeue(self) -> bool:
        """Returns whether nothing is lost if it is parked now."""
        return False

    def can_pause_here(self) -> bool:
        """Returns whether it can be resumed from the very place where it is."""
        return True

    async def park(self, session: EngineSession, writer: Writer) -> Parked:
        """Keep what there is of the work, and return what that took."""
        parked = self.run.earlier.parked
        return msgspec.structs.replace(parked, times=parked.times + 1)

    def resumes_in(self, pool: Pool) -> bool:
        """Returns whether each engine of the pool can resume what readers have so far."""
        return False

    # Progress ------------------------------------------------------------------------------------
    @property
    def heard(self) -> int:
        """Returns the number of events so far, also of those that its reader does not have."""
        return self.output.sent

    @property
    def is_streamed(self) -> bool:
        """Returns whether it produces events while it runs."""
        return self.order.stream

    @property
    def is_let_in(self) -> bool:
        """Returns whether the engine seems to work for it."""
        return False

    @property
    def work_units_so_far(self) -> int:
        """Returns the visible work units while it works (Outcome.work_units)."""
        return 0
