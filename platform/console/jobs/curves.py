"""Points of a job's curves, as columns for the script that draws them."""

from typing import Any

from django.db.models import F, Q, QuerySet

from inference.models import Job, JobMetric

MOST = 1_000  # points of one answer
FIELDS = ("step", "train_loss", "held_out_loss", "learning_rate", "tokens", "active_ms")


def columns(job: Job, after: int = 0) -> dict[str, Any]:
    """Returns the points that were written after the one with this id, the oldest first.

    Of many every so manieth, and all that have a held-out loss. `last` is the id to go on from.
    """
    rows = JobMetric.objects.filter(job=job, id__gt=after)
    points = list(_thinned(rows).order_by("id").values_list("id", *FIELDS)[: 2 * MOST])
    lists: dict[str, Any] = {
        name: [point[number] for point in points] for number, name in enumerate(FIELDS, 1)
    }
    return {**lists, "last": points[-1][0] if points else after, "over": job.is_over}


def table(job: Job, most: int = 20) -> list[JobMetric]:
    """Returns some points over the whole course, the latest first, to be read as a table."""
    rows = JobMetric.objects.filter(job=job).order_by("-step")
    stride = -(-rows.count() // most) or 1
    last = rows.values_list("step", flat=True).first() or 0
    return list(rows.alias(off=(last - F("step")) % stride).filter(off=0)[:most])


def _thinned(rows: QuerySet[JobMetric]) -> QuerySet[JobMetric]:
    stride = -(-rows.count() // MOST)
    if stride < 2:
        return rows
    marked = rows.alias(off=F("step") % stride)
    return marked.filter(Q(off=0) | Q(held_out_loss__isnull=False))
