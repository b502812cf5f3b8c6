"""The metrics of a Celery process: its tasks, and figures that it reads elsewhere.

The one of the jobs reads figures of the whole platform, a worker those of its host's GPUs.
"""

from celery import Celery
from celery.signals import worker_shutting_down

from config.metrics import celery_tasks, exposition, process
from config.metrics.scraped_sources import Figures, of_gpus, sources
from config.metrics.valkey import JOBS


def begin(app: Celery) -> None:
    celery_tasks.count(app)
    process.set_ready(it_is=True)
    worker_shutting_down.connect(_ends)
    has_jobs = JOBS in app.amqp.queues.consume_from
    process.set_role("jobs" if has_jobs else "worker")
    chosen = sources() if has_jobs else of_gpus()
    exposition.before_each.append(Figures(chosen).bring)


def _ends(**_signal: object) -> None:
    process.set_ready(it_is=False)
