"""Beat's scheduler: it sends the tasks that work off a queue only while something waits there.

Each message costs milliseconds of three processes, and most of these would find nothing.
"""

import time
from pathlib import Path
from typing import Any, NamedTuple

from celery.beat import PersistentScheduler, ScheduleEntry
from celery.schedules import schedule
from django.conf import settings

from config.schedule.waiting_work import WaitingWork
from inference import pulses

LOOK_S = 1.0
ALL_THE_SAME_S = 60.0  # between messages while nothing seems to wait
NEVER = float("-inf")
PATIENCE_S = 300.0  # for a tick: while Redis is away each message waits for it


class Work(NamedTuple):
    """A task that works off a queue; the due_tasks.py of audit and inference look what waits."""

    task: str
    every_s: float  # while something waits
    expires_s: float  # an older message is dropped


WORK = (
    Work("inference.sweep", 1, 5),
    Work("inference.replace", 1, 5),
    Work("audit.seal", 1, 5),
    Work("audit.tell_witnesses", 1, 2),
    Work("audit.delete", 2, 5),
    Work("audit.rotate", 4, 4),
    Work("inference.roll_up", 10, 10),
    Work("audit.export_subjects", 10, 10),
    Work("audit.export", 30, 30),
    Work("inference.drive_batches", 1, 5),
    Work("inference.forget_files", 60, 60),
    Work("inference.forget_keys", 60, 60),
)


class WorkScheduler(PersistentScheduler):
    """Sends WORK beside the entries of `beat_schedule`."""

    def __init__(self, app: Any, *arguments: Any, **more: Any) -> None:
        self._look_at = self._clocks_at = NEVER
        self._sent = dict.fromkeys((work.task for work in WORK), NEVER)
        self._waiting = WaitingWork(settings.DATABASE_URL)
        super().__init__(app, *arguments, **more)
        schedule_file: str = self.schedule_filename  # type: ignore[attr-defined]  # Celery sets it
        self._alive = Path(f"{schedule_file}.alive")  # for a probe: beat has no port

    def tick(self, *arguments: Any, **more: Any) -> float:
        """Send what is due, and return the seconds until the next tick."""
        pulses.beat("clock", PATIENCE_S)
        if (now := time.monotonic()) >= self._look_at:
            self._look_at = max(self._look_at + LOOK_S, now + LOOK_S / 2)
            self._send_work(now)
            self._alive.touch()
        if now >= self._clocks_at:
            self._clocks_at = now + super().tick(*arguments, **more)
        return max(0.0, min(self._look_at, self._clocks_at) - time.monotonic())

    def apply_entry(self, entry: ScheduleEntry, producer: Any = None) -> None:
        """Send a task, if this beat leads. One that does not keeps the time, and can take over."""
        if self._waiting.leads:
            super().apply_entry(entry, producer=producer)

    def close(self) -> None:
        self._waiting.close()
        super().close()

    def _send_work(self, now: float) -> None:
        waiting = self._waiting.tasks()
        for work in WORK:
            pause = work.every_s if work.task in waiting else ALL_THE_SAME_S
            if now - self._sent[work.task] > pause - LOOK_S / 2:
                self._sent[work.task] = now
                self.apply_entry(self._entry(work), producer=self.producer)

    def _entry(self, work: Work) -> ScheduleEntry:
        return ScheduleEntry(
            name=work.task,
            task=work.task,
            schedule=schedule(work.every_s),
            options={"expires": work.expires_s},
            app=self.app,
        )
