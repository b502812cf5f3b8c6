"""Tells a pool's workers that there is work, through Celery."""

from celery import current_app
from django.conf import settings

from inference.pools import entries


def wake_up(pool: str) -> None:
    """Publishes one message for each of its engines; the queue's scripts see that few are needed.

    They expire: a worker that comes back late finds the work in the fair queue, not in here.
    """
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
