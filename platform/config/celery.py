"""Celery as shipped: no pool or transport of our own. A message is a wake-up, never a request."""

import os

from celery import Celery
from celery.schedules import crontab
from celery.signals import worker_init

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
os.environ.setdefault("FOREBAY_DATABASE_SCOPE", "system")  # asgi.py, which imports this, is first

from django.conf import settings

app = Celery("forebay", broker=settings.REDIS_URL)
app.conf.update(
    task_ignore_result=True,
    task_acks_late=False,  # a lost wake-up is emitted again by the sweeper within a second
    task_serializer="json",
    accept_content=["json"],
    worker_prefetch_multiplier=1,
    worker_send_task_events=False,
    worker_enable_remote_control=False,
    worker_hijack_root_logger=False,
    worker_soft_shutdown_timeout=0,
    broker_connection_retry_on_startup=True,
    broker_connection_max_retries=None,
    broker_transport_options={
        "queue_order_strategy": "priority",
        "priority_steps": [0],
        "visibility_timeout": 60,
        "global_keyprefix": "celery:",
        "socket_timeout": 10,
        "socket_connect_timeout": 5,
        "health_check_interval": 10,
    },
    task_default_queue="jobs",
    beat_schedule={
        "sweep": {"task": "inference.sweep", "schedule": 1.0, "options": {"expires": 5}},
        # Within the hour after each tenant's midnight.
        "reconcile": {
            "task": "inference.reconcile",
            "schedule": crontab(minute=15),
            "options": {"expires": 1800},
        },
        "seal": {"task": "audit.seal", "schedule": 1.0, "options": {"expires": 5}},
        "witnesses": {"task": "audit.tell_witnesses", "schedule": 1.0, "options": {"expires": 2}},
        "roll_up": {"task": "inference.roll_up", "schedule": 10.0, "options": {"expires": 10}},
        "exports": {"task": "audit.export", "schedule": 30.0, "options": {"expires": 30}},
        "prune": {
            "task": "audit.prune",
            "schedule": crontab(hour=3, minute=40),
            "options": {"expires": 3600},
        },
        # Months of the audit trail, ahead of time; `migrate`, at each start, makes them too.
        "partitions": {
            "task": "audit.partitions",
            "schedule": crontab(hour=3, minute=5),
            "options": {"expires": 3600},
        },
        "self_check": {"task": "audit.check", "schedule": 60.0, "options": {"expires": 50}},
        # All of the trail: before the checks, which show what it found.
        "verify": {
            "task": "audit.verify",
            "schedule": crontab(hour=1, minute=25),
            "options": {"expires": 3600},
        },
        # What the compliance page shows (console/compliance).
        "checks": {
            "task": "console.check",
            "schedule": crontab(hour=2, minute=25),
            "options": {"expires": 3600},
        },
        "subject_exports": {
            "task": "audit.export_subjects",
            "schedule": 10.0,
            "options": {"expires": 10},
        },
        "deletions": {"task": "audit.delete", "schedule": 2.0, "options": {"expires": 5}},
        # What a backup brought back under a hold, as soon as the hold is over.
        "erase_again": {
            "task": "audit.erase_again",
            "schedule": 60.0,
            "options": {"expires": 50},
        },
        "rotations": {"task": "audit.rotate", "schedule": 4.0, "options": {"expires": 4}},
    },
)
app.autodiscover_tasks()


@worker_init.connect
def _may_start(**_signal: object) -> None:
    """With a wrong master key a worker would take texts for erased, and after a restore it would
    work for who is erased.
    """
    from audit.erasure.tombstones import erasure_problem_at_start
    from audit.keys.key_check import startup_problem  # models: not before Django is set up

    if problem := startup_problem() or erasure_problem_at_start(while_erasing=True):
        raise SystemExit(problem)
