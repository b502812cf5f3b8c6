"""Long work in steps, each of which is done once, whatever happens to its worker."""

from abc import abstractmethod

import msgspec

from inference.engines.base import EngineFailed
from inference.engines.transport.session import EngineSession
from inference.record.outcome import Outcome
from inference.record.parked import Parked
from inference.record.work_units import WorkUnits
from inference.stream.frames import Frame, Kind
from inference.stream.writer import Writer
from inference.worker.handlers.base import Handler
from inference.worker.run.run import Run
from inference.worker.run.state import ParksHere

MOST = 2**31 - 1  # tokens that a row of usage can hold


class StepwiseHandler(Handler):
    """A handler of a class with `checkpoints`. A subclass defines the step.

    After each step its state is durable. The work goes on from there after a crash, when a worker
    that stops has put it back, and when a higher class had its slot. Steps that a crash has undone
    cost nothing. A step ends within the time that a worker has to stop, else it counts as a crash.
    """

    waits_for_engine = False

    def __init__(self, run: Run) -> None:
        super().__init__(run)
        before = run.earlier.parked
        self.work_units = WorkUnits(before.prompt_tokens, before.completion_tokens, before.gpu_ms)
        self.steps_done = run.earlier.step

    @abstractmethod
    def resume(self, state: bytes) -> None:
        """Take up what the last step left, b"" before the first. Raises EngineFailed."""

    @property
    @abstractmethod
    def is_done(self) -> bool:
        """Returns whether all steps are done."""

    @abstractmethod
    async def step(self, session: EngineSession) -> WorkUnits:
        """Do the next step, and return what it took. Raises EngineFailed."""

    @abstractmethod
    def state(self) -> bytes:
        """Returns what the next step needs."""

    @abstractmethod
    def result(self) -> bytes:
        """Returns what the client gets, and the audit trail keeps."""

    async def kept(self) -> None:
        """Note that the state after a step is durable.

        It is called once more for a step that another worker had finished, and for the last of
        several steps that became durable together.
        """

    async def work(self, session: EngineSession, writer: Writer) -> None:
        self.resume(self.run.earlier.state)
        while not self.is_done:
            self.work_units += await self.step(session)
            self.steps_done += 1
            try:
                await self.run.checkpoint(self.steps_done, self.state(), self.work_units)
            except ParksHere:
                await self.kept()
                raise
            await self.kept()

    async def outcome(self, session: EngineSession, failure: EngineFailed | None) -> Outcome:
        ending = self.run.ending(failure)
        response = self.result() if ending.state == "done" else b""
        counts = msgspec.structs.asdict(self.work_units)
        units = {name: min(count, MOST) for name, count in counts.items()}
        return msgspec.structs.replace(ending, response=response, **units)

    def last_frame(self) -> Frame:
        return self.output.frame(Kind.BODY, self.result())

    # Parking -------------------------------------------------------------------------------------
    def may_be_parked(self) -> bool:
        return True

    def may_requeue(self) -> bool:
        return True

    def can_pause_here(self) -> bool:
        """Returns False: it parks after a step alone (Run.checkpoint)."""
        return False

    async def park(self, session: EngineSession, writer: Writer) -> Parked:
        return await self.run.note_parking()

    # Progress ------------------------------------------------------------------------------------
    @property
    def heard(self) -> int:
        return self.steps_done

    @property
    def work_units_so_far(self) -> int:
        return self.work_units.total
