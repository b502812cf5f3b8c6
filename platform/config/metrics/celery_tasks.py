"""Metrics of the Celery tasks that this process has run."""

import time
from typing import Any

from celery import Celery, signals

from infrastructure.metrics import Counter, Histogram, Label

_names: set[str] = set()
_TASK = Label("task", lambda: _names)
RUN = Counter(
    "forebay_celery_tasks_total",
    "Tasks that have ended, by how",
    _TASK,
    Label.of("state", "success", "failure", "retry", "ignored", "rejected"),
)
TOOK = Histogram(
    "forebay_celery_task_duration_seconds",
    "How long a task took; that of a worker of engines lasts as long as there is work",
    _TASK,
    bounds=(0.01, 0.05, 0.25, 1, 5, 30, 120, 600),
)
_began: dict[str, float] = {}  # by the task's id


def count(app: Celery) -> None:
    """Begin to count tasks."""
    _names.update(app.tasks)
    signals.task_prerun.connect(_begins)
    signals.task_postrun.connect(_ends)


def _begins(*, task_id: str, **_signal: Any) -> None:
    _began[task_id] = time.monotonic()


def _ends(*, task_id: str, task: Any, state: str | None = None, **_signal: Any) -> None:
    began = _began.pop(task_id, None)
    RUN.of(task.name, (state or "failure").lower()).value += 1
    if began is not None:
        TOOK.of(task.name).observe(time.monotonic() - began)
