"""Celery as shipped: no pool or transport of our own. A message is a wake-up, never a request."""

import os

from celery import Celery
from celery.schedules import crontab

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
        "roll_up": {"task": "inference.roll_up", "schedule": 10.0, "options": {"expires": 10}},
    },
)
app.autodiscover_tasks()
