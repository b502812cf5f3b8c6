"""What a process of Celery exports: its tasks; that of jobs also figures of the whole platform."""

from celery import Celery

from config.metrics import celery_tasks, exposition, process
from config.metrics.figures import Figures, sources
from config.metrics.valkey import JOBS


def begin(app: Celery) -> None:
    celery_tasks.count(app)
    has_jobs = JOBS in app.amqp.queues.consume_from
    process.is_a("jobs" if has_jobs else "worker")
    if has_jobs:
        exposition.before_each.append(Figures(sources()).bring)
