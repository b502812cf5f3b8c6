"""Tells a pool's workers that there is work, through Celery."""

import logging

from celery import current_app
from django.conf import settings
from kombu.exceptions import OperationalError

from inference.pools import entries

log = logging.getLogger(__name__)


def wake_up(pool: str) -> None:
    """Publishes one message for each of its engines; the queue's scripts see that few are needed.

    They expire: a worker that comes back late finds the work in the fair queue, not in here. A
    broker that is away is no error, the sweeper asks again.
    """
    try:
        _publish(pool)
    except (OperationalError, OSError) as problem:
        log.warning("%s: cannot send a wake-up (%s); the sweeper retries", pool, problem)


def _publish(pool: str) -> None:
    for entry in entries(settings.ENGINES):
        if entry.pool == pool:
            current_app.send_task(
                "inference.drain",
                (pool, entry.engine),
                queue=entry.queue,
                expires=10,
                retry=False,
                ignore_result=True,
            )
