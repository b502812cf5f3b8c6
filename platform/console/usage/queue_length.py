"""How many requests wait in the fair queues of all pools. A view of Redis, so it may be missing."""

from redis import RedisError

from inference.queue.fair_queue import lengths


def total() -> int | None:
    try:
        return sum(lengths().values())
    except RedisError:
        return None
