"""The trainer's work on a job, from checkpoint to checkpoint (inference/jobs/on_host/stay.py).

A step ends with the trainer's next checkpoint, which is stored before it counts. The process works
on meanwhile; it is asked to stop when a higher class wants the slot, when the worker stops, when
the job is paused, and when the order's GPU time is used up.
"""

import contextlib
import errno
import logging
import time

import orjson

from audit.keys.keyring import Unreadable
from inference.engines import all_queues
from inference.engines.base import EngineFailed
from inference.engines.transport.session import EngineSession
from inference.jobs.finishing import CannotFinish, finish
from inference.jobs.on_host import attending
from inference.jobs.on_host.attending import Position
from inference.jobs.on_host.endings import TrainerFailed
from inference.jobs.on_host.patience import in_database, in_thread
from inference.jobs.on_host.stay import Advance, Host, Stay, Wish
from inference.jobs.on_host.work_folder import MaterialGone
from inference.model_registry.manifest import Tampered
from inference.model_registry.opening import NoRoom, NotThere
from inference.models import Job as JobRow
from inference.pool_policy import LendingRules
from inference.record.work_units import WorkUnits
from inference.stream.writer import Writer
from inference.worker.handlers.stepwise import StepwiseHandler
from inference.worker.run.run import Run
from inference.worker.run.state import ParksHere
from infrastructure.objects.content import Damaged
from infrastructure.objects.place import StoreError

log = logging.getLogger(__name__)
ASK_S = 1.0  # between two looks at the job's row
STOP_AHEAD_MS = 2_000  # before the order's GPU time is used up


class Training(StepwiseHandler):
    when_broken = "the job could not be processed"

    def __init__(self, run: Run) -> None:
        super().__init__(run)
        self._stay: Stay | None = None
        self._leaves = self._is_used_up = False
        self._state, self._asked_at = "", 0.0

    def resume(self, state: bytes) -> None:
        self._position = Position.of(state)

    @property
    def is_done(self) -> bool:
        return self._leaves or self.is_over

    @property
    def is_over(self) -> bool:
        """Returns whether the job's result is durable."""
        return self._position.is_over

    async def work(self, session: EngineSession, writer: Writer) -> None:
        try:
            await super().work(session, writer)
        except TrainerFailed as failed:
            await self._keep_last_steps(failed)
            raise await self._failure(failed.code, failed.message) from None
        finally:
            if self._stay:
                await self._stay.leave()

    async def step(self, session: EngineSession) -> WorkUnits:
        stay = self._stay or await self._begun()
        if stay is None:
            self._leaves = True
            return WorkUnits()
        try:
            advance = await self._advanced(stay)
        except StoreError:
            raise await self._failure(*_NO_STORE) from None
        except OSError as problem:
            raise await self._failure(*_of_disk(problem)) from None
        units = WorkUnits(gpu_ms=min(advance.gpu_ms + self._owed_ms(advance), self._room_ms))
        self._leaves = not await self._is_wanted() or self._is_used_up
        if self._is_used_up and not (self.work_units.gpu_ms + advance.gpu_ms or self.is_over):
            self.work_units += units
            raise await self._failure(*_NO_PROGRESS)
        return units

    def _owed_ms(self, advance: Advance) -> int:
        """Returns lost time that is paid for: nobody but the job's people, or its size, ended it.

        Else a job that saves seldom could hold a GPU for an hour, be cancelled, and cost nothing.
        """
        is_owed = self._is_used_up or attending.is_ended_by_people(self._state)
        return advance.lost_ms if is_owed else 0

    async def _advanced(self, stay: Stay) -> Advance:
        before = stay.position
        try:
            advance = await stay.advance(self._wish)
            self._position = stay.position
        except TrainerFailed:
            self._position = stay.position
            raise
        if advance.has_ended:
            await self._finish(stay, advance.gpu_ms, has_checkpoint=stay.position != before)
        return advance

    async def _finish(self, stay: Stay, gpu_ms: int, *, has_checkpoint: bool) -> None:
        """Make the result durable. Raises TrainerFailed, with the time that is paid for."""
        paid_ms = gpu_ms if has_checkpoint else 0
        try:
            await in_thread(finish, stay.job, stay.output)
        except CannotFinish as problem:
            raise TrainerFailed(problem.code, problem.message, gpu_ms) from None
        except StoreError:
            raise TrainerFailed(*_NO_STORE, paid_ms) from None
        except OSError as problem:
            raise TrainerFailed(*_of_disk(problem), paid_ms) from None
        self._position = Position(stay.position.step, stay.position.files, is_over=True)

    async def _keep_last_steps(self, failed: TrainerFailed) -> None:
        """Have the steps count that led to a checkpoint before the trainer failed."""
        if failed.gpu_ms:
            self.work_units += WorkUnits(gpu_ms=min(failed.gpu_ms, self._room_ms))
            self.steps_done += 1
            with contextlib.suppress(ParksHere):
                await self.run.checkpoint(self.steps_done, self.state(), self.work_units)
            await self.kept()

    async def _begun(self) -> Stay | None:
        """Returns a stay on this host; None if the job does not want this order any more."""
        begun = await in_database(attending.begin, self.order, self._position)
        if begun is None:
            return None
        job, self._position = begun
        try:
            taken_ms = self.work_units.gpu_ms
            self._stay = await Stay.begin(job, self._position, self._host, taken_ms)
        except MaterialGone as gone:
            raise await self._fails(job, "material_gone", f"its {gone} was deleted") from None
        except Unreadable:
            raise await self._fails(job, "erased", "its data has been erased") from None
        except NotThere:
            raise await self._fails(job, "material_gone", "its base was deleted") from None
        except (Damaged, Tampered, FileNotFoundError) as problem:
            log.error("ALERT job:files %s: %s", job.pk, problem)
            raise await self._fails(job, *_DAMAGED) from None
        except (StoreError, NoRoom):
            raise await self._fails(job, *_NO_STORE) from None
        except OSError as problem:
            raise await self._fails(job, *_of_disk(problem)) from None
        return self._stay

    @property
    def _host(self) -> Host:
        queue = all_queues().get(self.order.queue)
        lending = LendingRules.of(queue.policy.lending) if queue else None
        return Host(list(self.engine.config.gpus), lending.return_s if lending else None)

    # Why it stops --------------------------------------------------------------------------------
    async def _wish(self) -> Wish:
        if not await self._is_wanted():
            return Wish.STOP if attending.is_paused(self._state) else Wish.LEAVE
        taken_ms, gpus = (self._stay.uncounted_ms, self._stay.gpus) if self._stay else (0, 1)
        self._is_used_up = taken_ms + STOP_AHEAD_MS * gpus > self._room_ms
        stops = self._is_used_up or self.run.signals.must_park
        return Wish.STOP if stops else Wish.GO_ON

    async def _is_wanted(self) -> bool:
        """Returns whether the job goes on, by a look at its row once a second."""
        if self._stay and time.monotonic() - self._asked_at > ASK_S:
            self._state = await in_database(attending.wants, self._stay.job, self.order.id)
            self._asked_at = time.monotonic()
        return attending.is_wanted(self._state)

    @property
    def _room_ms(self) -> int:
        """Returns the GPU time that the order has set aside, and not taken yet."""
        return max(0, self.order.charge.gpu_ms - self.work_units.gpu_ms)

    async def _failure(self, code: str, message: str) -> EngineFailed:
        assert self._stay
        return await self._fails(self._stay.job, code, message)

    async def _fails(self, job: JobRow, code: str, message: str) -> EngineFailed:
        await in_database(attending.note_failure, job, code, message)
        failure = EngineFailed(422, code, message)
        failure.engines_fault = False
        return failure

    # What there is of it -------------------------------------------------------------------------
    def state(self) -> bytes:
        return self._position.packed()

    async def kept(self) -> None:
        await in_database(attending.note_checkpoint, self.order, self._position)

    def result(self) -> bytes:
        return orjson.dumps({"step": self._position.step, "is_over": self._position.is_over})


_NO_PROGRESS = (
    "no_progress",
    "the GPU time that could be set aside is too short for a checkpoint: raise the quota, or save "
    "more often",
)
_DAMAGED = (
    "files_damaged",
    "a file that it needs is missing in the store or damaged: restore it, then resume the job",
)
_NO_STORE = ("store_unavailable", "the store of files cannot be reached; it will be tried again")


def _of_disk(problem: OSError) -> tuple[str, str]:
    if problem.errno in (errno.ENOSPC, errno.EDQUOT):
        return "disk_full", "the disk of the worker is full"
    return _NO_STORE
