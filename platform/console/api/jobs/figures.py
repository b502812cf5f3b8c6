"""What everybody may know of a job: how far it is and what it takes, without names of its data."""

import django_filters as f
from django.db.models import QuerySet
from rest_framework import serializers as s

from console.api.strict_input import Row
from inference.models import Job, JobKind, JobState
from inference.models.job import OVER

# Fields that change by themselves.
MOVING = (
    *("state", "reason", "done", "of", "seconds_left", "gpu_ms", "cost"),
    *("started_at", "ended_at"),
)


class JobFigures(Row):
    name = s.CharField(source="public_id", help_text="Its id at `/v1/fine_tuning/jobs`.")
    kind = s.ChoiceField(JobKind.choices)
    state = s.ChoiceField(JobState.choices)
    reason = s.CharField(help_text="A code: why it is paused, or has failed.")
    model = s.CharField(help_text="The served model whose pool it uses.")
    pool = s.CharField()
    done = s.IntegerField(help_text="Of `of`, in `unit`.")
    of = s.IntegerField(help_text="0: not known yet.")
    unit = s.CharField()
    seconds_left = s.SerializerMethodField(help_text="GPU time that the rest is likely to take.")
    gpu_ms = s.IntegerField(help_text="Milliseconds times GPUs, of settled orders.")
    cost = s.IntegerField(help_text="Of these, in micro-units of the currency.")
    started_at = s.DateTimeField(allow_null=True)
    ended_at = s.DateTimeField(allow_null=True)
    EXAMPLE = {
        "name": "ftjob-0192e6a05d0b7c6e9f6e1f2a3b4c5d6e",
        "kind": "fine-tune",
        "state": "running",
        "reason": "",
        "unit": "steps",
        "seconds_left": 340,
    }

    def get_seconds_left(self, row: Job) -> int | None:
        rest = row.time_left
        return None if rest is None else round(rest.total_seconds())


class JobFilter(f.FilterSet):
    kind = f.ChoiceFilter(choices=JobKind.choices)
    state = f.ChoiceFilter(choices=JobState.choices)
    unfinished = f.BooleanFilter(method="_unfinished")

    def _unfinished(self, rows: QuerySet[Job], _name: str, value: bool) -> QuerySet[Job]:
        return rows.exclude(state__in=OVER) if value else rows.filter(state__in=OVER)
