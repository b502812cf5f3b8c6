"""Beat's scheduler: it sends the tasks that work off a queue only while something waits there.

Each message costs milliseconds of three processes, and most of these would find nothing. What waits
is one statement to PostgreSQL and a few commands to Redis. Of several beats, on hosts that have the
role `jobs`, the one that holds a lock of PostgreSQL sends.
"""

import logging
import time
from pathlib import Path
from typing import Any, NamedTuple

import psycopg
from celery.beat import PersistentScheduler, ScheduleEntry
from celery.schedules import schedule
from django.conf import settings

from audit import due_tasks as of_audit
from audit.witnesses.delivery import name_of
from inference import due_tasks as of_inference
from inference import loop_heartbeats
from tenants.notices import due_tasks as of_notices

log = logging.getLogger(__name__)

LOOK_S = 1.0
ALL_THE_SAME_S = 60.0  # between messages while nothing seems to wait
NEVER = float("-inf")
IN_DATABASE = {
    **of_audit.IN_DATABASE,
    **of_inference.IN_DATABASE,
    **of_notices.IN_DATABASE,
}
AGAIN_S = 5.0  # after the database did not answer
# Statistics must not lead to a plan that reads a whole table, nor a lock hold up beat.
_OPTIONS = (
    f"{settings.SEES_ALL['options']} -c statement_timeout=2000 "
    "-c enable_seqscan=off -c enable_bitmapscan=off -c default_transaction_read_only=on"
)
_CASES = ", ".join(f"case when {sql} then '{task}' end" for task, sql in IN_DATABASE.items())
_WAITING = f"select array_remove(array[{_CASES}], null)"
_LEADS = "select pg_try_advisory_lock(%s)"
_LOCK = 0x464F5242  # "FORB"
PATIENCE_S = 300.0  # for a tick: while Redis is away each message waits for it


class Work(NamedTuple):
    """A task for a queue; audit/due_tasks.py and its like see whether work waits."""

    task: str
    every_s: float  # while something waits
    expires_s: float  # an older message is dropped


WORK = (
    Work("inference.sweep", 1, 5),
    Work("inference.replace", 1, 5),
    Work("inference.load_adapters", 1, 5),
    Work("inference.rest_engines", 2, 5),
    Work("inference.move_sleepers", 5, 5),
    Work("inference.evaluate", 2, 5),
    Work("inference.build_assistants", 2, 5),
    Work("inference.resume_dialogues", 1, 5),
    Work("inference.return_dialogues", 1, 5),
    Work("inference.end_calls", 1, 5),
    Work("inference.try_policies", 1, 5),
    Work("inference.explain_decisions", 2, 5),
    Work("inference.evaluate_policies", 2, 5),
    Work("inference.measure_drift", 60, 60),
    Work("audit.seal", 1, 5),
    Work("audit.tell_witnesses", 1, 2),
    Work("audit.delete", 2, 5),
    Work("audit.rotate", 4, 4),
    Work("tenants.deliver_notices", 1, 5),
    Work("inference.roll_up", 10, 10),
    Work("audit.export_subjects", 10, 10),
    Work("audit.export", 30, 30),
    Work("inference.drive_batches", 1, 5),
    Work("inference.import_data_sets", 1, 60),
    Work("inference.read_documents", 1, 60),
    Work("inference.drive_jobs", 1, 5),
    Work("inference.forget_files", 60, 60),
    Work("inference.import_models", 5, 5),
    Work("inference.forget_keys", 60, 60),
    Work("inference.tidy_chats", 60, 60),
)


class WaitingWork:
    def __init__(self, dsn: str) -> None:
        self._dsn = dsn
        self._connection: psycopg.Connection[Any] | None = None
        self._away_until = float("-inf")
        self.leads = True  # also while PostgreSQL is away
        self._parameters = {"witnesses": [name_of(url) for url in settings.WITNESSES]}

    def tasks(self) -> set[str]:
        """Returns the names of tasks with waiting work, none while another beat sends them.

        Tasks whose state is unknown count as waiting.
        """
        in_database = self._in_database()
        return in_database | of_audit.in_redis() | of_inference.in_redis() if self.leads else set()

    def close(self) -> None:
        connection, self._connection = self._connection, None
        self.leads = True
        if connection:
            connection.close()

    def _in_database(self) -> set[str]:
        if time.monotonic() < self._away_until:
            return set(IN_DATABASE)
        try:
            return self._query()
        except psycopg.Error as problem:
            log.warning("cannot look for work: %s", problem)
            self._away_until = time.monotonic() + AGAIN_S
            self.close()
            return set(IN_DATABASE)

    def _query(self) -> set[str]:
        if self._connection is None:
            patience = {**settings.DATABASE_PATIENCE, "options": _OPTIONS}
            self._connection = psycopg.connect(self._dsn, autocommit=True, **patience)
            self.leads = False
        if not self.leads:
            lock = self._connection.execute(_LEADS, [_LOCK], prepare=True).fetchone()
            self.leads = bool(lock and lock[0])
        if not self.leads:
            return set()
        row = self._connection.execute(_WAITING, self._parameters, prepare=True).fetchone()
        assert row
        return set(row[0])


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
        loop_heartbeats.beat("clock", PATIENCE_S)
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
