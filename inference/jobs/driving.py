"""Takes jobs through their states: a step for each that is due, in the jobs process.

A claim makes a job due again later, so a job whose driver died in a step is taken up again.
"""

import logging
from collections.abc import Callable
from datetime import timedelta
from uuid import UUID

from django.db import DatabaseError, transaction
from django.db.models import Exists, OuterRef, Q
from django.utils import timezone
from redis.exceptions import RedisError

from audit.keys.keyring import Barred, Unreadable
from audit.keys.master_keys.errors import MasterKeyUnavailable
from inference.jobs import access, orders, validation
from inference.jobs.on_host.endings import PAUSING, passes
from inference.jobs.on_host.progress import note
from inference.models import Completion, Job, JobState, Usage
from inference.models.completion import State
from inference.models.job import PLATFORM, UNDER_WAY, WrongState
from inference.queue import fair_queue
from inference.record import settle_unrun
from inference.record.outcome import Outcome

log = logging.getLogger(__name__)
Validate = Callable[[Job], bool]  # returns whether it is over
MOST = 200  # jobs of one round
CLAIM = timedelta(seconds=60)
AGAIN = timedelta(seconds=20)  # after what passes, such as a store that is away
LOOK_AT_ACCESS = timedelta(seconds=10)  # while an order waits or runs
LOOK_AGAIN = timedelta(seconds=2)  # at an order that has to leave its queue or its worker
GONE = Outcome(state="cancelled", status=499, finish_reason="cancelled", error_code="job_stopped")


def drive_due(validate: Validate = validation.validate) -> None:
    """Take each due job a step further. One that breaks is tried again later.

    `validate` may leave a job's validation to a thread.
    """
    for pk in _due():
        try:
            drive(pk, validate)
        except (DatabaseError, RedisError, MasterKeyUnavailable, WrongState) as problem:
            log.warning("job %s waits: %s", pk, problem)
        except Exception:
            log.exception("job %s broke off", pk)


def _due() -> list[UUID]:
    over = Completion.objects.exclude(state=State.OPEN).filter(pk=OuterRef("order_id"))
    rows = Job.objects.filter(Q(due_at__lte=timezone.now()) | Q(Exists(over)))
    return list(rows.order_by("due_at").values_list("pk", flat=True)[:MOST])


def drive(pk: UUID, validate: Validate = validation.validate) -> None:
    """Take one job a step further."""
    job = _claimed(pk)
    if job is None:
        return
    if job.state == JobState.VALIDATING and job.order_id is None and not validate(job):
        return
    with transaction.atomic():
        job = Job.objects.select_for_update(no_key=True).get(pk=pk)
        waits = _settle(job)
        began = _go_on(job, waits=waits)
    if began:
        orders.enqueue(job)
    elif job.order_id and job.state not in UNDER_WAY:
        _take_out(job.order_id)


def _claimed(pk: UUID) -> Job | None:
    """Returns the job, which nobody else drives for CLAIM; None if it is being driven."""
    with transaction.atomic():
        rows = Job.objects.select_for_update(no_key=True, skip_locked=True)
        job = rows.filter(pk=pk).first()
        if job:
            Job.objects.filter(pk=pk).update(due_at=timezone.now() + CLAIM)
    return job


# Its order -----------------------------------------------------------------------------------
def _settle(job: Job) -> bool:
    """Take the settlement of its order into the job's row, once. Returns whether to wait then."""
    if job.order_id is None:
        return False
    completion = Completion.objects.filter(pk=job.order_id).exclude(state=State.OPEN).first()
    usage = Usage.objects.filter(completion=completion).first() if completion else None
    if completion is None:
        if not Completion.objects.filter(pk=job.order_id).exists():
            job.note_settlement(0, 0)  # a failover of PostgreSQL lost it, with its commit
        return False
    job.note_settlement(usage.gpu_ms if usage else 0, usage.cost if usage else 0)
    _judge(job, usage)
    return bool(usage and passes(usage.error_code, usage.status))


def _judge(job: Job, usage: Usage | None) -> None:
    """Have the end of an order decide how the job goes on."""
    code = usage.error_code if usage else ""
    if job.result is not None and job.state in (*UNDER_WAY, JobState.PAUSED):
        return job.succeed()
    if usage is None or job.state not in UNDER_WAY or not code or passes(code, usage.status):
        return None
    if code == GONE.error_code:  # taken out while it was paused; it has been resumed since
        return None
    if code in PAUSING:
        return job.pause(by=PLATFORM, reason=code)
    problems = job.problems or [{"code": code, "message": _words(code)}]
    return job.fail(code, problems)


def _words(code: str) -> str:
    words = {
        "worker_lost": "every worker that took it died in the same step",
        "erased": "its person has been erased",
    }
    return words.get(code, "the platform could not do it")


def _go_on(job: Job, *, waits: bool) -> bool:
    """Begin the next order where one is due. Returns whether the caller has to queue it."""
    needs_order = job.state in (JobState.QUEUED, JobState.RUNNING) and job.order_id is None
    began, due_at = False, None
    if needs_order and not waits:
        began = _began(job)
        due_at = timezone.now() + LOOK_AT_ACCESS if began else None
    elif needs_order:
        due_at = timezone.now() + AGAIN
    elif job.order_id:
        due_at = timezone.now() + _attended(job)
    Job.objects.filter(pk=job.pk).update(due_at=due_at)
    return began


def _attended(job: Job) -> timedelta:
    """Pause a job whose maker has lost access. Returns when to look at its open order again."""
    if job.state in UNDER_WAY and (problem := access.lost(job)):
        job.pause(by=PLATFORM, reason=problem)
    return LOOK_AT_ACCESS if job.state in UNDER_WAY else LOOK_AGAIN


def _began(job: Job) -> bool:
    if problem := access.lost(job):
        job.pause(by=PLATFORM, reason=problem)
        return False
    try:
        refusal = orders.begin(job)
    except (Barred, Unreadable):
        job.fail("erased", [{"code": "erased", "message": _words("erased")}])
        return False
    if refusal is None:
        return True
    note(job, "quota", str(refusal), "warning")
    job.problems = [{"code": "quota", "message": str(refusal)}]
    job.save(update_fields=["problems"])
    job.pause(by=PLATFORM, reason="quota")
    return False


def _take_out(order_id: UUID) -> None:
    """End the waiting order of a job that is paused or over. A running one sees it by itself."""
    completion = Completion.objects.open().filter(pk=order_id).first()
    if completion is None:
        return
    arguments = str(completion.pk), "waits"
    if fair_queue.run_blocking(fair_queue.CANCEL, completion.pool, *arguments) == b"queued":
        settle_unrun.end(completion, GONE)
