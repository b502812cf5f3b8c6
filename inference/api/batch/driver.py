"""Drives the batches of all tenants, in a thread of a Celery process while there are any.

A task only wakes it (inference/tasks.py): beat sends one while a batch is due and has no driver. So
an idle platform has no driver, and a dead driver is replaced within seconds. When more are due than
it may have, tenants take turns.
"""

import asyncio
import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import datetime
from functools import partial
from uuid import UUID, uuid4

import uvloop
from django.db import DatabaseError, transaction
from django.db.models import Window
from django.db.models.functions import Now, RowNumber
from django.utils import timezone

from inference import loop_heartbeats
from inference.api.batch import run as running
from inference.api.batch.in_flight import Shares
from inference.api.batch.lines import in_thread
from inference.api.batch.run import BatchRun
from inference.intake.context import Context
from inference.models import Batch

LOOKED_AT = 1_000  # due batches
TURN_S = 60.0  # a batch is driven at least so long before it gives way to another tenant's


def take(most: int, has: Counter[UUID]) -> list[Batch]:
    """Lease due batches. `has` counts the driver's batches of each tenant."""
    with transaction.atomic():
        chosen = [pk for pk, _tenant in due_in_turn(has)[:most]]
        unleased = Batch.objects.due().filter(pk__in=chosen).select_for_update(skip_locked=True)
        leased = [batch.pk for batch in unleased]
        lease = {"leased_until": Now() + running.LEASE, "lease": uuid4()}
        Batch.objects.filter(pk__in=leased).update(**lease)
    return list(Batch.objects.filter(pk__in=leased).select_related("api_key", "tenant"))


def due_in_turn(has: Counter[UUID]) -> list[tuple[UUID, UUID]]:
    """Returns due batches and their tenants, first of the tenants with the fewest batches here."""
    turn = Window(RowNumber(), partition_by="tenant_id", order_by="due_at")
    rows = Batch.objects.due().annotate(turn=turn).order_by("turn", "due_at")
    rows_ = list(rows.values_list("pk", "tenant_id", "turn")[:LOOKED_AT])
    rows_.sort(key=lambda row: row[2] + has[row[1]])
    return [(pk, tenant) for pk, tenant, _turn in rows_]


def runs_to_stop(runs: Sequence[BatchRun], due: Sequence[tuple[UUID, UUID]]) -> list[BatchRun]:
    """Returns the runs that give way to batches of tenants with none here, or two fewer.

    They are runs of the tenants with the most, after their turns.
    """
    candidates = [run for run in runs if not run.is_stopped]
    has, since = Counter(run.batch.tenant_id for run in runs), time.monotonic() - TURN_S
    stopping = list[BatchRun]()
    for _pk, tenant in due[len(runs) - len(candidates) :]:
        fewer = has[tenant] + bool(has[tenant])
        may = [r for r in candidates if r.began <= since and has[r.batch.tenant_id] > fewer]
        if not may:
            break  # later tenants have at least as many here
        first = max(may, key=lambda run: (has[run.batch.tenant_id], -run.began))
        candidates.remove(first)
        stopping.append(first)
        has.update({tenant: 1, first.batch.tenant_id: -1})
    return stopping


log = logging.getLogger(__name__)
LOOK_S = 1.0
MOST = 100  # batches of one driver


async def drive(
    context: Context, stop: asyncio.Event, now: Callable[[], datetime] = timezone.now
) -> None:
    """Drive batches until none is left, or until `stop`."""
    runs: dict[UUID, tuple[BatchRun, asyncio.Task[None]]] = {}
    stopping, shares = asyncio.create_task(stop.wait()), Shares()
    while not stop.is_set():
        for batch in await _claimed([run for run, _task in runs.values()]):
            run = BatchRun(context, batch, now, shares)
            runs[batch.pk] = run, asyncio.create_task(run.go())
        if not runs:
            break
        tasks = [task for _run, task in runs.values()]
        await asyncio.wait([stopping, *tasks], timeout=LOOK_S, return_when=asyncio.FIRST_COMPLETED)
        for pk in [pk for pk, (_run, task) in runs.items() if task.done()]:
            _look_at(pk, runs.pop(pk)[1])
    stopping.cancel()
    for run, _task in runs.values():
        run.stop()
    if runs:
        await asyncio.wait([task for _run, task in runs.values()], timeout=LOOK_S * 5)


async def _claimed(runs: list[BatchRun]) -> list[Batch]:
    """Claim due batches. At the limit, stop some that have had their turn instead."""
    has = Counter(run.batch.tenant_id for run in runs)
    try:
        if len(runs) < MOST:
            return await in_thread(take, MOST - len(runs), has)
        for run in runs_to_stop(runs, await in_thread(due_in_turn, has)):
            run.stop()
        return []
    except DatabaseError as problem:
        log.warning("cannot look for batches: %s", problem)
        return []


def _look_at(pk: UUID, task: asyncio.Task[None]) -> None:
    """Log a failed run. Its lease expires, and another driver tries again."""
    if not task.cancelled() and (problem := task.exception()):
        log.error("batch %s broke off", pk, exc_info=problem)


class Driver:
    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._stop: Callable[[], object] | None = None

    def wake(self) -> None:
        """Start the thread if it does not run. Returns immediately."""
        with self._lock:
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._run, name="batches", daemon=True)
                self._thread.start()

    def stop(self) -> None:
        """Release all batches, so that another driver takes them right away."""
        with self._lock:
            thread, stop = self._thread, self._stop
        if thread and stop and thread.is_alive():
            stop()
            thread.join(LOOK_S * 8)

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            try:
                runner.run(self._drive())
            except Exception:
                log.exception("the driver of batches broke off")

    async def _drive(self) -> None:
        loop, stop = asyncio.get_running_loop(), asyncio.Event()
        self._stop = partial(loop.call_soon_threadsafe, stop.set)
        pulse = asyncio.create_task(loop_heartbeats.keep("batches"))
        context = await Context.open()
        try:
            await drive(context, stop)
        finally:
            pulse.cancel()
            self._stop = None
            await context.close()


driver = Driver()
