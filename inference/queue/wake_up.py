"""Tells a pool's workers that there is work, through Celery."""

import logging
from collections.abc import Sequence

from celery import current_app
from kombu.exceptions import OperationalError

from inference.queue.pool_workers import PoolWorker, workers_of

log = logging.getLogger(__name__)


def wake_up(pool: str) -> None:
    """Wake the first worker of each of its engines; a worker that becomes full wakes another.

    The queue's scripts limit the messages, and messages expire: a late worker finds the work in the
    fair queue. An unavailable broker is no error, since the sweeper repeats the wake-up.
    """
    wake([worker for worker in workers_of(pool) if worker.number == 1])


def wake(workers: Sequence[PoolWorker]) -> None:
    try:
        for worker in workers:
            _publish(worker)
    except (OperationalError, OSError) as problem:
        pool = workers[0].pool
        log.warning("%s: cannot send a wake-up (%s); the sweeper retries", pool, problem)


def _publish(worker: PoolWorker) -> None:
    current_app.send_task(
        "inference.drain",
        (worker.pool, worker.engine, worker.number),
        queue=worker.queue,
        expires=10,
        retry=False,
        ignore_result=True,
    )
