"""The workers of a pool: of each of its engines one, or several that share the engine's slots."""

from dataclasses import dataclass

from django.conf import settings

from inference.engines import pools
from inference.engines.base import Engine
from inference.pools import queue, queues, share
from inference.queue.client import client
from inference.queue.fair_queue import prefix

AWAKE_MS = 1_500  # so long after its last beat is a worker taken to be awake


@dataclass(frozen=True, slots=True)
class PoolWorker:
    """The `number`th of `count` workers of an engine, from 1 on."""

    pool: str
    engine: str
    queue: str  # of Celery, by which it is woken
    number: int
    count: int

    @property
    def awake(self) -> str:
        """The key in Redis that is there while it drains the pool's queue."""
        return f"{prefix(self.pool)}:awake:{self.queue}"

    @property
    def place(self) -> str:
        """The key in Redis that names the host on which it drains the pool's queue."""
        return f"{prefix(self.pool)}:place:{self.queue}"

    def share(self, slots: int) -> int:
        return share(slots, self.number, self.count)


def workers_of(pool: str) -> list[PoolWorker]:
    """Of its engines that take requests."""
    found = pools().get(pool)
    return [worker for engine in (found.engines if found else ()) for worker in _of(pool, engine)]


def _of(pool: str, engine: Engine) -> list[PoolWorker]:
    own = engine.config
    names = queues(own.seat, own.kind, own.slots, settings.WORKERS_PER_ENGINE)
    return [PoolWorker(pool, own.id, name, n, len(names)) for n, name in enumerate(names, 1)]


def queue_of(pool: str, engine: str, number: int) -> str:
    """Of a worker of an engine, which may be gone or another one's successor by now."""
    found = pools().get(pool)
    everybody = found.all_engines if found else ()
    seats = [each.config.seat for each in everybody if each.config.id == engine]
    return queue(seats[0] if seats else engine, number)


def asleep(workers: list[PoolWorker]) -> list[PoolWorker]:
    """Those of a pool that do not say in Redis that they are awake. Raises redis.RedisError."""
    if len(workers) < 2:  # a lone one says nothing: its runner's beats are enough
        return workers
    with client().pipeline(transaction=False) as ask:
        for worker in workers:
            ask.exists(worker.awake)
        return [w for w, awake in zip(workers, ask.execute(), strict=True) if not awake]
