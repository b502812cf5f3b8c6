"""Waiting and running requests of a pool, by class and tenant, for operators."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from inference import classes
from inference.order import Item
from inference.queue.client import ask_script, client
from inference.queue.expected_wait import QueueFigures
from inference.queue.fair_queue import OVERVIEW, WAITING, prefix

MOST_TENANTS = 1_000  # examined in all classes together
MOST_LINES = 15  # the longest lines of a class
MOST_RUNNING = 1_000  # running requests that are examined
MOST_COUNTED = 20  # requests of a line to examine if some in it were cancelled
ENDS = 250
MAY_BE_GONE = 20  # cancelled requests stay in their line until their turn


@dataclass(frozen=True, slots=True)
class TenantLine:
    klass: str
    tenant: str  # its id
    waiting: int
    oldest_s: float | None  # how long the first of them has waited
    running: int
    parked: int  # waiting ones that were preempted by a higher class


@dataclass(frozen=True, slots=True)
class ClassLines:
    name: str
    waiting: int
    tenants: int  # waiting ones
    oldest_s: float | None  # of the returned lines
    running: int
    parked: int
    wait_ms: int  # expected wait of one more; 0: unknown
    lines: tuple[TenantLine, ...]  # the longest first

    @property
    def more(self) -> int:
        """Returns how many tenants are not returned."""
        return max(0, self.tenants - len(self.lines))


@dataclass(frozen=True, slots=True)
class Overview:
    running: int
    classes: tuple[ClassLines, ...]  # the highest first

    @property
    def waiting(self) -> int:
        return sum(each.waiting for each in self.classes)


def overview(pool: str) -> Overview:
    """Returns the overview in one round trip. Raises redis.RedisError."""
    names, most = classes.names(), (MOST_TENANTS, MOST_LINES, MOST_RUNNING, MOST_COUNTED)
    with client().pipeline(transaction=False) as ask:
        ask_script(ask, OVERVIEW, prefix(pool), *most, *names)
        ask_script(ask, WAITING, prefix(pool), *names)
        (running, *class_answers, runs, aside), waiting = ask.execute()
    line = QueueFigures.parsed(waiting)
    return Overview(running, tuple(_of_class(each, runs, aside, line) for each in class_answers))


def _by_tenant(triples: Sequence[Any], klass: bytes) -> dict[str, int]:
    return {tenant.decode(): n for of, tenant, n in _in_threes(triples) if of == klass}


def _of_class(
    answer: list[Any], runs: list[Any], aside: list[Any], line: QueueFigures
) -> ClassLines:
    name, waiting, tenants, oldest, *lines = answer
    klass = name.decode()
    running, parked = _by_tenant(runs, name), _by_tenant(aside, name)
    return ClassLines(
        name=klass,
        waiting=waiting,
        tenants=tenants,
        oldest_s=waited_s(oldest),
        running=sum(running.values()),
        parked=sum(parked.values()),
        wait_ms=round(line.wait_s(line.before(klass)) * 1000),
        lines=tuple(_lines(klass, lines, running, parked)),
    )


def _lines(
    klass: str, triples: list[Any], running: dict[str, int], parked: dict[str, int]
) -> Iterator[TenantLine]:
    for name, waiting, oldest in _in_threes(triples):
        tenant = name.decode()
        runs, aside = running.pop(tenant, 0), parked.get(tenant, 0)
        yield TenantLine(klass, tenant, waiting, waited_s(oldest), runs, aside)
    for tenant, n in running.items():  # without waiting requests
        yield TenantLine(klass, tenant, 0, None, n, 0)


def _in_threes(values: Sequence[Any]) -> Iterator[tuple[Any, Any, Any]]:
    return zip(values[::3], values[1::3], values[2::3], strict=True)


def waited_s(request_id: bytes | str) -> float | None:
    """Returns the seconds since a request of this id was received; None if unknown."""
    text = request_id.decode() if isinstance(request_id, bytes) else request_id
    if not text or (uuid := UUID(text)).version != 7:  # inference/request_id.py
        return None
    return max(0.0, time.time() - (uuid.int >> 80) / 1000)


def ends(pool: str, klass: str) -> list[tuple[str, float]]:
    """Returns the next and the last ENDS tenants of a class, with their tokens for their weight.

    It is bounded for any number of tenants. Raises redis.RedisError.
    """
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
