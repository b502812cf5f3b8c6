"""What a process of Celery exports: its tasks, and what it reads elsewhere.

That of jobs reads figures of the whole platform, a worker those of the GPUs of its host.
"""

from celery import Celery
from celery.signals import worker_shutting_down

from config.metrics import celery_tasks, exposition, process
from config.metrics.figures import Figures, of_gpus, sources
from config.metrics.valkey import JOBS


def begin(app: Celery) -> None:
    celery_tasks.count(app)
    process.ready(it_is=True)
    worker_shutting_down.connect(_ends)
    has_jobs = JOBS in app.amqp.queues.consume_from
    process.is_a("jobs" if has_jobs else "worker")
    read = sources() if has_jobs else of_gpus()
    exposition.before_each.append(Figures(read).bring)


def _ends(**_signal: object) -> None:
    process.ready(it_is=False)
