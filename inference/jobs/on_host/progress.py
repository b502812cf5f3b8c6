"""Writes the trainer's events into rows: metrics, the job's log, and how far it is.

All of it may be repeated: a step that is done again replaces its point.
"""

from collections.abc import Iterable, Sequence
from typing import Any

from django.utils import timezone

from inference.jobs.on_host.events_file import Event
from inference.models import Job, JobEvent, JobMetric
from inference.models.job_progress import Level

_METRIC = ("epoch", "train_loss", "held_out_loss", "learning_rate", "tokens", "active_ms")
MOST_EVENTS = 10_000  # of a job


def write(job: Job, events: Sequence[Event], active_ms: int) -> None:
    """Write new events, in the tenant's scope. `active_ms`: the GPU time so far."""
    _write_metrics(job, [event for event in events if event["type"] == "metric"], active_ms)
    for event in events:
        if event["type"] == "message":
            note(job, event.get("code"), event.get("message"), event.get("level"))
    fields: dict[str, Any] = {"active_ms": active_ms}
    for event in events:
        fields |= _progress_of(event)
    Job.objects.filter(pk=job.pk).update(**fields)


def _write_metrics(job: Job, events: Iterable[Event], active_ms: int) -> None:
    points = {
        step: JobMetric(
            tenant_id=job.tenant_id,
            job=job,
            step=step,
            at=timezone.now(),
            epoch=_number(event.get("epoch")),
            train_loss=_number(event.get("train_loss")),
            held_out_loss=_number(event.get("held_out_loss")),
            learning_rate=_number(event.get("learning_rate")),
            tokens=whole(event.get("tokens")),
            active_ms=active_ms,
        )
        for event in events
        if (step := whole(event.get("step"))) >= 0
    }
    JobMetric.objects.bulk_create(
        points.values(),
        update_conflicts=True,
        unique_fields=["job", "step"],
        update_fields=[*_METRIC, "at"],
    )


def drop_beyond(job: Job, step: int) -> None:
    """Delete points of steps that a crash has undone."""
    JobMetric.objects.filter(job=job, step__gt=step).delete()


def note(job: Job, code: Any, message: Any, level: Any = Level.INFO, **detail: int) -> None:
    """Add a line to the job's log. Beyond MOST_EVENTS lines are left out."""
    if JobEvent.objects.filter(job=job)[:MOST_EVENTS].count() >= MOST_EVENTS:
        return
    JobEvent.objects.create(
        tenant_id=job.tenant_id,
        job=job,
        level=level if level in Level.values else Level.INFO,
        code=str(code)[:60],
        message=str(message)[:500],
        detail=detail,
    )


def _progress_of(event: Event) -> dict[str, Any]:
    if event["type"] == "metric":
        return {"tokens": whole(event.get("tokens"))}
    if event["type"] != "progress":
        return {}
    done, of = whole(event.get("done")), whole(event.get("of"))
    return {"done": done, "of": of, "unit": str(event.get("unit", "steps"))[:12]}


def _number(value: Any) -> float | None:
    is_one = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if is_one else None


def whole(value: Any) -> int:
    """Returns a number of the trainer's, 0 for what is no count."""
    is_one = isinstance(value, int) and not isinstance(value, bool)
    return value if is_one and 0 <= value < 2**62 else 0
