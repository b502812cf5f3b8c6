"""How full pools are: what waits in each, and what each of its engines runs. For the console."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from inference.queue.client import client
from inference.queue.fair_queue import prefix
from inference.queue.runner_ids import engine_of


@dataclass(frozen=True, slots=True)
class Occupancy:
    waiting: int
    running: int
    by_engine: Counter[str]  # requests that run, by the engine's name


def occupancy(pools: Iterable[str]) -> dict[str, Occupancy]:
    """In one round trip. Raises redis.RedisError."""
    names = list(pools)
    with client().pipeline(transaction=False) as ask:
        for pool in names:
            ask.hlen(f"{prefix(pool)}:orders")
            ask.zcard(f"{prefix(pool)}:leases")
            ask.hvals(f"{prefix(pool)}:on")
        found = ask.execute()
    return {pool: _of(*found[3 * i : 3 * i + 3]) for i, pool in enumerate(names)}


def _of(orders: int, leases: int, on: list[bytes]) -> Occupancy:
    return Occupancy(max(0, orders - leases), leases, Counter(map(engine_of, on)))
