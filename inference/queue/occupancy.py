"""The occupancy of pools for the console: waiting requests, and those that each engine runs."""

import secrets
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from inference import classes
from inference.queue.client import ask_script, client
from inference.queue.expected_wait import QueueFigures
from inference.queue.fair_queue import WAITING, prefix


@dataclass(frozen=True, slots=True)
class ClassLine:
    name: str
    waiting: int
    wait_ms: int  # expected wait of one more; 0: unknown


@dataclass(frozen=True, slots=True)
class Occupancy:
    waiting: int
    running: int
    by_engine: Counter[str]  # running requests, by the engine's name
    by_class: tuple[ClassLine, ...] = ()  # of classes with waiting requests


def occupancy(pools: Iterable[str]) -> dict[str, Occupancy]:
    """Returns the occupancy by pool, in one round trip. Raises redis.RedisError."""
    names = list(pools)
    with client().pipeline(transaction=False) as ask:
        for pool in names:
            ask.hlen(f"{prefix(pool)}:orders")
            ask.zcard(f"{prefix(pool)}:leases")
            ask.hvals(f"{prefix(pool)}:on")
            ask_script(ask, WAITING, prefix(pool), *classes.names())
        answers = ask.execute()
    return {pool: _of(*answers[4 * i : 4 * i + 4]) for i, pool in enumerate(names)}


def _of(orders: int, leases: int, on: list[bytes], answer: list[Any]) -> Occupancy:
    line = QueueFigures.parsed(answer)
    by_class = [
        ClassLine(name, waiting, round(line.wait_s(line.before(name)) * 1000))
        for name, waiting in line.waiting.items()
        if waiting
    ]
    running = Counter(map(engine_of, on))
    return Occupancy(max(0, orders - leases), leases, running, tuple(by_class))


def new_runner_id(engine: str) -> str:
    return f"{engine}-{secrets.token_hex(4)}"


def engine_of(runner: bytes) -> str:
    return runner.rpartition(b"-")[0].decode()
