"""Celery as shipped, with one step of its transport mended.

That is infrastructure/redis/celery_acknowledgements.py. A message is a wake-up, not a request.
"""

import os

from celery import Celery
from celery.schedules import crontab
from celery.signals import beat_init, setup_logging, task_prerun, worker_init, worker_ready

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
os.environ.setdefault("FOREBAY_DATABASE_SCOPE", "system")  # asgi.py, which imports this, is first
# Celery ignores the result of Django's checks, and they load every page, for half a second.
os.environ.setdefault("CELERY_SKIP_CHECKS", "1")

from django.conf import settings
from django.db import close_old_connections

from config.process_heartbeat import tell
from infrastructure.redis.celery_acknowledgements import free_places
from infrastructure.redis.servers import celery_broker

# Name -> task, when, and the seconds after which a message that nobody took is dropped.
_SCHEDULE: dict[str, tuple[str, crontab | float, int]] = {
    # Within the hour after each tenant's midnight.
    "reconcile": ("inference.reconcile", crontab(minute=15), 1800),
    # Acts of the trail that become notices (tenants/notices/following.py).
    "notices": ("tenants.follow_acts", 10.0, 10),
    "expiry": ("tenants.look_at_expiry", crontab(minute=35), 1800),
    "contests": ("inference.run_contest_clock", crontab(minute=20), 1800),
    "attachments": ("inference.delete_attachments", crontab(minute=35), 1800),
    "tidy_models": ("inference.tidy_models", crontab(minute=50), 1800),
    "prune": ("audit.prune", crontab(hour=3, minute=40), 3600),
    # Months of the audit trail, ahead of time; `migrate`, at each start, makes them too.
    "partitions": ("audit.partitions", crontab(hour=3, minute=5), 3600),
    "self_check": ("audit.check", 60.0, 50),
    # The whole trail, before the checks, which show the result.
    "verify": ("audit.verify", crontab(hour=1, minute=25), 3600),
    # The checks on the compliance page (console/compliance).
    "checks": ("console.check", crontab(hour=2, minute=25), 3600),
    # API keys with a schedule (tenants/models/key_schedule.py).
    "rotate_due_keys": ("console.rotate_due_keys", 300.0, 250),
    # Erases again what a backup brought back under a hold, as soon as the hold is over.
    "erase_again": ("audit.erase_again", 60.0, 50),
}
free_places()
_BROKER = celery_broker(settings.BROKER_URL)
app = Celery("forebay", broker=_BROKER.url)
app.conf.update(
    task_ignore_result=True,
    task_acks_late=False,  # the sweeper emits a lost wake-up again within a second
    task_serializer="json",
    accept_content=["json"],
    worker_prefetch_multiplier=1,
    worker_send_task_events=False,
    worker_enable_remote_control=False,
    worker_hijack_root_logger=False,
    worker_soft_shutdown_timeout=0,
    CELERY_DB_REUSE_MAX=10_000,  # tasks over one connection; see close_old_connections
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
        **_BROKER.options,
    },
    broker_use_ssl=_BROKER.tls or None,
    task_default_queue="jobs",
    beat_scheduler="config.schedule.scheduler:WorkScheduler",
    # It adds the tasks that work off a queue, which it sends while something waits.
    beat_schedule={
        name: {"task": task, "schedule": when, "options": {"expires": expires_s}}
        for name, (task, when, expires_s) in _SCHEDULE.items()
    },
)
app.autodiscover_tasks()


@setup_logging.connect
def _leave_logging_alone(**_signal: object) -> None:
    """Keep Celery from configuring logging: every process has that of the settings."""


@worker_init.connect
def _may_start(**_signal: object) -> None:
    """Prepare a worker's process, or end it with a problem.

    With a wrong master key a worker would take texts for erased, and after a restore it would work
    for erased people.
    """
    from audit.erasure.tombstones import erasure_problem_at_start
    from audit.keys.key_check import startup_problem  # models: not before Django is set up
    from config import process_heartbeat, tracing
    from config.metrics.listener import listen
    from config.process_start import follow_engines, release_problem

    listen()
    tracing.begin()
    process_heartbeat.begin()
    keys = startup_problem() or erasure_problem_at_start(
        while_erasing=True, writes_here=takes_jobs()
    )
    if problem := keys or release_problem() or follow_engines():
        raise SystemExit(problem)


def takes_jobs() -> bool:
    """Returns whether this is a process of jobs, not a worker of an engine."""
    return app.conf.task_default_queue in app.amqp.queues.consume_from


@beat_init.connect
def _know_the_queues(**_signal: object) -> None:
    """Load the engines for beat, which looks at the queue of each pool."""
    from config import process_heartbeat
    from config.process_start import follow_engines, release_problem

    process_heartbeat.begin()
    if problem := release_problem() or follow_engines():
        raise SystemExit(problem)
    tell("READY=1")


# One that has failed or is too old: a new one for each task would cost more than a task does.
task_prerun.connect(close_old_connections)


@worker_ready.connect
def _finish_start(**_signal: object) -> None:
    from config.metrics import celery_tasks
    from config.process_start import freeze_loaded_objects

    celery_tasks.begin(app)
    freeze_loaded_objects()
    tell("READY=1")
