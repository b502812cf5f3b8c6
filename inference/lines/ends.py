"""Who comes next and last in a class of a pool, and for how long the oldest request has waited.

What is asked for is bounded, however many tenants wait: ENDS of them at either end.
"""

from collections.abc import Iterator
from typing import Any

from inference.lines.overview import waited_s
from inference.order import Item
from inference.queue.client import client
from inference.queue.fair_queue import prefix

ENDS = 250
MAY_BE_GONE = 20  # cancelled requests stay in their line until their turn


def ends(pool: str, klass: str) -> list[tuple[str, float]]:
    """Tenants, with the tokens that they have had for their weight. Raises redis.RedisError."""
    active = f"{prefix(pool)}:{klass}:active"
    with client().pipeline(transaction=False) as ask:
        ask.zrange(active, 0, ENDS - 1, withscores=True)
        ask.zrange(active, -ENDS, -1, withscores=True)
        first, last = ask.execute()
    return [(name.decode(), score) for name, score in dict([*first, *last]).items()]


def oldest_s(pool: str, klass: str, tenants: list[str]) -> float:
    """Of the first request of each of these tenants; 0 where none waits. Raises
    redis.RedisError.
    """
    with client().pipeline(transaction=False) as ask:
        for tenant in tenants:
            ask.lindex(f"{prefix(pool)}:{klass}:line:{tenant}", -1)
        heads = [Item.parse(item) for item in ask.execute() if item] if tenants else []
    ids = sorted(item.id for item in heads)[:MAY_BE_GONE]  # they begin with their time
    return next((waited_s(request) or 0.0 for request in _that_wait(pool, ids)), 0.0)


def _that_wait(pool: str, ids: list[str]) -> Iterator[str]:
    if not ids:
        return
    known: Any = client().hmget(f"{prefix(pool)}:orders", ids)
    yield from (one for one, order in zip(ids, known, strict=True) if order is not None)
