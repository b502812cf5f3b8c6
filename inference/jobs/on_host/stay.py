"""One stay of a job on this host: its folder, the trainer's process, and what comes of it."""

import asyncio
import math
import time
from collections.abc import Awaitable, Callable
from enum import Enum
from pathlib import Path

import msgspec
from django.conf import settings

from inference.jobs import job_checkpoint_files
from inference.jobs.on_host import attending
from inference.jobs.on_host.attending import Position
from inference.jobs.on_host.endings import (
    BY_ORDER,
    BY_SIGNAL,
    DONE,
    NO_ROOM,
    PAUSED,
    TrainerFailed,
    failure_of,
)
from inference.jobs.on_host.events_file import Event, EventsFile
from inference.jobs.on_host.patience import in_database, in_thread
from inference.jobs.on_host.progress import whole
from inference.jobs.on_host.trainer_process import TrainerProcess
from inference.jobs.on_host.work_folder import WorkFolder, names_in, newest_step
from inference.metrics import work
from inference.models import Job
from inference.pool_policy import STOP_S
from infrastructure.objects.place import StoreError

LOOK_S = 0.2
MOST_DEATHS = 3  # of its process between two checkpoints
STORE_TRIES, STORE_AGAIN_S = 5, 2.0


class Wish(Enum):
    GO_ON = "go on"
    STOP = "stop"  # with a checkpoint
    LEAVE = "leave"  # at once: nobody wants what it does


AskWish = Callable[[], Awaitable[Wish]]


class Host(msgspec.Struct, frozen=True):
    """The trainer's bounds: GPUs (none: those of the worker), and seconds to stop in."""

    gpus: list[int | str] = []
    stop_s: float | None = None


class Advance(msgspec.Struct, frozen=True):
    """A part of the trainer's work. `lost_ms` is GPU time that led to no checkpoint."""

    gpu_ms: int = 0
    has_ended: bool = False  # the output is whole
    lost_ms: int = 0


def gpus_of(job: Job) -> int:
    """Returns the GPUs that the trainer uses: one for each of its processes."""
    processes = job.parameters.get("processes")
    return processes if isinstance(processes, int) and processes > 1 else 1


class Stay:
    def __init__(self, job: Job, position: Position, host: Host, counted_ms: int = 0) -> None:
        self.job, self.position, self._host = job, position, host
        self._folder = WorkFolder(job)
        self.output: Path = self._folder.output
        self._events = EventsFile(self.output)
        self._process: TrainerProcess | None = None
        self._since = self._stop_asked_at = 0.0
        self._ended_at = math.inf
        self._has_new, self._deaths = False, 0
        self._step = 0  # of the last checkpoint that the trainer has reported here
        self._names = frozenset[str]()  # of the checkpoints that are stored
        self._counted_ms = job.gpu_ms + counted_ms  # GPU time up to the last checkpoint
        self.gpus = gpus_of(job)
        self._error: Event | None = None

    @classmethod
    async def begin(cls, job: Job, position: Position, host: Host, counted_ms: int = 0) -> "Stay":
        """Furnish the folder. `counted_ms`: what its order has taken before.

        Raises MaterialGone, StoreError, Unreadable, OSError.
        """
        stay = cls(job, position, host, counted_ms)
        try:
            await in_thread(stay._folder.furnish, position.files)
            stay._names = stay._folder.checkpoint_names()
        except BaseException:
            await stay.leave()
            raise
        return stay

    @property
    def uncounted_ms(self) -> int:
        """Returns the time since the last checkpoint, while the process runs."""
        return self._gpu_ms(time.monotonic()) if self._process else 0

    def _gpu_ms(self, now: float) -> int:
        """Returns the GPU time since the last checkpoint."""
        return round((min(now, self._ended_at) - self._since) * 1000) * self.gpus

    async def leave(self) -> None:
        if self._process:
            await self._process.kill()
            self._process = None
        await in_thread(self._folder.remove)

    async def advance(self, wish: AskWish) -> Advance:
        """Work until the next checkpoint, or until the trainer's process ends.

        Raises TrainerFailed, StoreError.
        """
        while True:
            if self._process is None:
                if await wish() is not Wish.GO_ON:
                    return Advance()
                self._start()
            code = self._process.code if self._process else None  # before its last events are read
            await self._read()
            if code is not None:
                return await self._ended(code, wish)
            if self._has_new and not self._stop_asked_at:
                self._has_new = False
                if self._is_ahead():
                    return await self._checkpoint(wish)
            taken_ms = self.uncounted_ms
            if await self._obeys(await wish()):
                return Advance(lost_ms=taken_ms)
            await asyncio.sleep(LOOK_S)

    def _start(self) -> None:
        self._process = TrainerProcess(
            self._folder.order, self._folder.path, settings.TRAINER_THREADS, self._host.gpus
        )
        self._since, self._stop_asked_at, self._error = time.monotonic(), 0.0, None
        self._ended_at = math.inf

    async def _obeys(self, wish: Wish) -> bool:
        """Returns whether the process is gone, without a checkpoint."""
        assert self._process
        if wish is Wish.STOP and not self._stop_asked_at:
            self._process.stop()
            self._stop_asked_at = time.monotonic()
        stop_s = self._host.stop_s or STOP_S
        late = self._stop_asked_at and time.monotonic() - self._stop_asked_at > stop_s
        if not (late or wish is Wish.LEAVE):
            return False
        await self._process.kill()
        self._process = None
        return True

    async def _read(self) -> None:
        events = self._events.read()
        for event in events:
            if event["type"] == "checkpoint":
                self._has_new, self._step = True, whole(event.get("step"))
            if event["type"] == "error":
                self._error = event
        if events:
            active_ms = self._counted_ms + self.uncounted_ms
            await in_database(attending.write, self.job, events, active_ms)

    async def _checkpoint(self, wish: AskWish) -> Advance:
        """Store the newest checkpoint. The trainer works on meanwhile, unless it is to stop."""
        now = time.monotonic()
        storing = asyncio.create_task(self._stored())
        try:
            lost_ms = await self._obey_until(storing, wish)
        except BaseException:
            storing.cancel()
            raise
        files = storing.result()
        names = names_in(files)  # there may be more than when the storing began
        took_ms, self._since = self._gpu_ms(now), now
        # A student's folders are numbered anew, its events go on from the teacher's steps.
        step = max(self.position.step, self._step, newest_step(names))
        self.position, self._names = Position(step, files), names
        self._deaths = 0
        self._counted_ms += took_ms
        work.CHECKPOINTS.of(self.job.kind).value += 1
        return Advance(took_ms, lost_ms=lost_ms)

    async def _obey_until(
        self, storing: asyncio.Task[job_checkpoint_files.Files], wish: AskWish
    ) -> int:
        """Returns the trainer's time since then, in milliseconds, if it had to be killed."""
        began, lost_ms = time.monotonic(), 0
        while not (await asyncio.wait({storing}, timeout=LOOK_S))[0]:
            if self._is_at_work() and await self._obeys(await wish()):
                lost_ms = self._gpu_ms(time.monotonic()) - self._gpu_ms(began)
        return lost_ms

    def _is_at_work(self) -> bool:
        """Returns whether the process runs, and notes when it ends: that time is no GPU time."""
        if self._process is None or self._process.code is None:
            return self._process is not None
        self._ended_at = min(self._ended_at, time.monotonic())
        return False

    def _is_ahead(self) -> bool:
        """Returns whether the trainer has a checkpoint that is not stored, or not as its step."""
        return self._step > self.position.step or bool(
            self._folder.checkpoint_names() - self._names
        )

    async def _stored(self) -> job_checkpoint_files.Files:
        """Raises StoreError, TrainerFailed where the tenant has no room."""
        for attempt in range(STORE_TRIES):
            try:
                return await in_thread(attending.store, self.job, self._folder.checkpoints)
            except job_checkpoint_files.Full:
                # It is paid for: else a tenant without room could train for nothing.
                raise TrainerFailed(*NO_ROOM, self._gpu_ms(time.monotonic())) from None
            except StoreError:
                if attempt + 1 == STORE_TRIES:
                    raise
                await asyncio.sleep(STORE_AGAIN_S)
        raise AssertionError

    async def _ended(self, code: int, wish: AskWish) -> Advance:
        """Returns what came of a process that has ended. Raises TrainerFailed."""
        assert self._process
        await self._process.kill()  # its children
        self._process = None
        ran_ms = self._gpu_ms(time.monotonic())
        took_ms = (await self._checkpoint(wish)).gpu_ms if self._is_ahead() else 0
        if code == DONE:
            return Advance(took_ms or ran_ms, has_ended=True)
        if code == PAUSED:
            return Advance(took_ms, lost_ms=0 if took_ms else ran_ms)
        self._deaths += 1
        if code > BY_SIGNAL and self._deaths < MOST_DEATHS:
            text = "the trainer's process was killed; it goes on from the last checkpoint"
            await in_database(attending.note, self.job, "trainer_killed", text, "warning")
            return Advance(took_ms)
        raise TrainerFailed(
            *failure_of(code, self._error), took_ms or (ran_ms if code in BY_ORDER else 0)
        )
