"""Says why a job has no GPU at the moment: its position, and what goes first."""

from dataclasses import dataclass

from redis import RedisError

from inference import classes
from inference.jobs.kinds import KINDS
from inference.jobs.orders import queue_of
from inference.models import Checkpoint, Job, JobState
from inference.queue_control.tenant_queue import Reason, WaitingRequest, causes, own_lines


@dataclass(frozen=True, slots=True)
class Wait:
    """The place of a job's order in the queue of its pool."""

    request: WaitingRequest
    reasons: list[Reason]
    higher_classes: list[str]

    @property
    def is_preempted(self) -> bool:
        return self.request.parked


def wait_of(job: Job) -> Wait | None:
    """Returns it in one round trip; None if the job does not wait, or Redis is unavailable."""
    if job.order_id is None or job.state not in (JobState.QUEUED, JobState.RUNNING):
        return None
    try:
        lines = own_lines(str(job.tenant_id), [queue_of(job)])
    except RedisError:
        return None
    for line in lines:
        for request in line.requests:
            if request.id == str(job.order_id):
                reasons = [cause.reason for cause in causes(line)]
                return Wait(request, reasons, classes.above(KINDS[job.kind].klass))
    return None


def times_preempted(job: Job) -> int:
    """Returns how often its present order gave its slot to a higher class."""
    rows = Checkpoint.objects.filter(completion=job.order_id).values_list("preemptions", flat=True)
    return rows.first() or 0
