"""The next and the last tenants in a class of a pool, and the wait of the oldest request.

Its questions are bounded for any number of tenants: ENDS of them at either end.
"""

from collections.abc import Iterator
from typing import Any

from inference.order import Item
from inference.queue.client import client
from inference.queue.fair_queue import prefix
from inference.queue_control.overview import waited_s

ENDS = 250
MAY_BE_GONE = 20  # cancelled requests stay in their line until their turn


def ends(pool: str, klass: str) -> list[tuple[str, float]]:
    """Returns tenants with their tokens for their weight. Raises redis.RedisError."""
    active = f"{prefix(pool)}:{klass}:active"
    with client().pipeline(transaction=False) as ask:
        ask.zrange(active, 0, ENDS - 1, withscores=True)
        ask.zrange(active, -ENDS, -1, withscores=True)
        first, last = ask.execute()
    return [(name.decode(), score) for name, score in dict([*first, *last]).items()]


def oldest_s(pool: str, klass: str, tenants: list[str]) -> float:
    """Returns the wait of the oldest first request of these tenants; 0 if none waits.

    Raises redis.RedisError.
    """
    with client().pipeline(transaction=False) as ask:
        for tenant in tenants:
            ask.lindex(f"{prefix(pool)}:{klass}:line:{tenant}", -1)
        heads = [Item.parse(item) for item in ask.execute() if item] if tenants else []
    ids = sorted(item.id for item in heads)[:MAY_BE_GONE]  # ids begin with their time
    return next((waited_s(request) or 0.0 for request in _waiting(pool, ids)), 0.0)


def _waiting(pool: str, ids: list[str]) -> Iterator[str]:
    if not ids:
        return
    orders: Any = client().hmget(f"{prefix(pool)}:orders", ids)
    yield from (each for each, value in zip(ids, orders, strict=True) if value is not None)
