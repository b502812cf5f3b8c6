"""The workers of a pool: one for each of its engines, or several that share its slots."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass

from celery import current_app
from django.conf import settings
from kombu.exceptions import OperationalError

from inference.engine_entries import queue, queues, share
from inference.engines import all_queues
from inference.engines.base import Engine
from inference.queue.client import client
from inference.queue.fair_queue import prefix

AWAKE_MS = 1_500  # a worker counts as awake for this long after its last beat
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class PoolWorker:
    """The `number`th of `count` workers of an engine, from 1."""

    pool: str
    engine: str
    queue: str  # the Celery queue by which it is woken
    number: int
    count: int

    @property
    def awake(self) -> str:
        """The Redis key that exists while it drains the pool's queue."""
        return f"{prefix(self.pool)}:awake:{self.queue}"

    @property
    def place(self) -> str:
        """The Redis key with the host on which it drains the pool's queue."""
        return f"{prefix(self.pool)}:place:{self.queue}"

    def share(self, slots: int) -> int:
        return share(slots, self.number, self.count)


def workers_of(pool: str) -> list[PoolWorker]:
    """Returns the workers of the pool's engines that take requests."""
    known = all_queues().get(pool)
    return [worker for engine in (known.engines if known else ()) for worker in _of(pool, engine)]


def _of(pool: str, engine: Engine) -> list[PoolWorker]:
    own = engine.config
    names = queues(own.seat, own.kind, own.slots, settings.WORKERS_PER_ENGINE)
    return [PoolWorker(pool, own.id, name, n, len(names)) for n, name in enumerate(names, 1)]


def queue_of(pool: str, engine: str, number: int) -> str:
    """Returns the Celery queue of a worker, whose engine may be gone or replaced by now."""
    known = all_queues().get(pool)
    engines = known.all_engines if known else ()
    seats = [each.config.seat for each in engines if each.config.id == engine]
    return queue(seats[0] if seats else engine, number)


def asleep(workers: list[PoolWorker]) -> list[PoolWorker]:
    """Returns those of a pool that are not marked awake in Redis. Raises redis.RedisError."""
    if len(workers) < 2:  # a single one is not marked: its runner's beats are enough
        return workers
    with client().pipeline(transaction=False) as ask:
        for worker in workers:
            ask.exists(worker.awake)
        return [w for w, awake in zip(workers, ask.execute(), strict=True) if not awake]


def wake_up(pool: str) -> None:
    """Wake the first worker of each of its engines; a worker that becomes full wakes another.

    The queue's scripts limit the messages, and messages expire: a late worker finds the work in the
    fair queue. An unavailable broker is no error, since the sweeper repeats the wake-up.
    """
    wake([worker for worker in workers_of(pool) if worker.number == 1])


def wake_engine(pool: str, engine: str) -> None:
    """Wake the first worker of an engine, if it still takes requests."""
    wake([worker for worker in workers_of(pool) if (worker.engine, worker.number) == (engine, 1)])


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
