"""The metrics of a Celery process: the tasks that it has run, and figures that it reads elsewhere.

The one of the jobs reads figures of the whole platform, a worker those of its host's GPUs.
"""

import time
from typing import Any

from celery import Celery, signals

from config.metrics import listener, process
from config.metrics.scraped_sources import JOBS, ScrapedFigures, of_gpus, sources
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


def begin(app: Celery) -> None:
    """Begin to count tasks and to read figures: this process is ready."""
    _names.update(app.tasks)
    signals.task_prerun.connect(_begins)
    signals.task_postrun.connect(_ends)
    signals.worker_shutting_down.connect(_process_ends)
    process.set_ready(it_is=True)
    has_jobs = JOBS in app.amqp.queues.consume_from
    process.set_role("jobs" if has_jobs else "worker")
    listener.before_each.append(ScrapedFigures(sources() if has_jobs else of_gpus()).bring)


def _process_ends(**_signal: object) -> None:
    process.set_ready(it_is=False)


def _begins(*, task_id: str, **_signal: Any) -> None:
    _began[task_id] = time.monotonic()


def _ends(*, task_id: str, task: Any, state: str | None = None, **_signal: Any) -> None:
    began = _began.pop(task_id, None)
    RUN.of(task.name, (state or "failure").lower()).value += 1
    if began is not None:
        TOOK.of(task.name).observe(time.monotonic() - began)
