"""Metrics of jobs and of the registry of models, which the jobs process reads once a minute.

Workers count GPU time and checkpoints (inference/metrics/work.py).
"""

from typing import Any

import psycopg

from audit.figures import Throttle
from inference.models import JobKind, JobState, VersionKind, VersionState
from infrastructure.metrics import Gauge, Label

_KIND, _STATE = Label.of("kind", *JobKind.values), Label.of("state", *JobState.values)
REASONS = (
    *("by_request", "quota", "disk_full", "registry_full", "no_trainer", "no_progress"),
    *("cancelled_by_operator", "access_revoked", "tenant_suspended", "checkpoints_full"),
    *("files_damaged",),
)
JOBS = Gauge(
    "forebay_jobs", "Jobs by kind and state, ended ones until their retention", _KIND, _STATE
)
PAUSED = Gauge("forebay_jobs_paused", "Paused jobs, by why", Label.of("reason", *REASONS))
VERSIONS = Gauge(
    "forebay_model_versions",
    "Versions in the registry of models, by kind and state",
    Label.of("kind", *VersionKind.values),
    Label.of("state", *VersionState.values),
)
_QUESTIONS = {
    JOBS: "select kind, state, count(*) from inference_job group by 1, 2",
    PAUSED: "select reason, count(*) from inference_job where state = 'paused' group by 1",
    VERSIONS: "select kind, state, count(*) from inference_modelversion group by 1, 2",
}
_throttle = Throttle()


def read(connection: psycopg.Connection[Any]) -> None:
    """Set the gauges from a connection that sees every row. Raises psycopg.Error."""
    if not _throttle.due():
        return
    for gauge, question in _QUESTIONS.items():
        gauge.set_all({tuple(labels): count for *labels, count in connection.execute(question)})


def forget() -> None:
    _throttle.forget()
    for gauge in _QUESTIONS:
        gauge.forget()
