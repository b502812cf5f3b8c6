"""Who waits for a pool and what runs there, by class and tenant. For operators."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from inference import classes
from inference.queue.client import ask_script, client
from inference.queue.expected_wait import Line
from inference.queue.fair_queue import OVERVIEW, WAITING, prefix

MOST_TENANTS = 1_000  # that are looked at, in all classes together
MOST_LINES = 15  # of a class that are told: the longest
MOST_RUNNING = 1_000  # requests whose tenant and class are told
MOST_COUNTED = 20  # requests of a line, where some in it were cancelled


@dataclass(frozen=True, slots=True)
class TenantLine:
    klass: str
    tenant: str  # its id
    waiting: int
    oldest_s: float | None  # how long the first of them has waited
    running: int
    parked: int  # of those that wait: they gave their slots to a higher class


@dataclass(frozen=True, slots=True)
class ClassLines:
    name: str
    waiting: int
    tenants: int  # that wait in it
    oldest_s: float | None  # of the lines that are told
    running: int
    parked: int
    wait_ms: int  # that one more would have to expect; 0: not known
    lines: tuple[TenantLine, ...]  # the longest first

    @property
    def more(self) -> int:
        """Tenants that are not told."""
        return max(0, self.tenants - len(self.lines))


@dataclass(frozen=True, slots=True)
class Overview:
    running: int
    classes: tuple[ClassLines, ...]  # the highest first

    @property
    def waiting(self) -> int:
        return sum(each.waiting for each in self.classes)


def overview(pool: str) -> Overview:
    """In one round trip. Raises redis.RedisError."""
    names, most = classes.names(), (MOST_TENANTS, MOST_LINES, MOST_RUNNING, MOST_COUNTED)
    with client().pipeline(transaction=False) as ask:
        ask_script(ask, OVERVIEW, prefix(pool), *most, *names)
        ask_script(ask, WAITING, prefix(pool), *names)
        (running, *told, runs, aside), waiting = ask.execute()
    line = Line.parsed(waiting)
    return Overview(running, tuple(_of_class(each, runs, aside, line) for each in told))


def _by_tenant(told: Sequence[Any], klass: bytes) -> dict[str, int]:
    return {tenant.decode(): n for of, tenant, n in _in_threes(told) if of == klass}


def _of_class(told: list[Any], runs: list[Any], aside: list[Any], line: Line) -> ClassLines:
    name, waiting, tenants, oldest, *lines = told
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
    klass: str, told: list[Any], running: dict[str, int], parked: dict[str, int]
) -> Iterator[TenantLine]:
    for name, waiting, oldest in _in_threes(told):
        tenant = name.decode()
        runs, aside = running.pop(tenant, 0), parked.get(tenant, 0)
        yield TenantLine(klass, tenant, waiting, waited_s(oldest), runs, aside)
    for tenant, n in running.items():  # of these nothing waits
        yield TenantLine(klass, tenant, 0, None, n, 0)


def _in_threes(told: Sequence[Any]) -> Iterator[tuple[Any, Any, Any]]:
    return zip(told[::3], told[1::3], told[2::3], strict=True)


def waited_s(request_id: bytes | str) -> float | None:
    """Since a request of this id was received; None where nobody knows."""
    text = request_id.decode() if isinstance(request_id, bytes) else request_id
    since = _received_at(UUID(text)) if text else None
    return max(0.0, time.time() - since) if since else None


def _received_at(request_id: UUID) -> float | None:
    """As intake/request_id.py writes it into the id, in seconds since the epoch."""
    return (request_id.int >> 80) / 1000 if request_id.version == 7 else None
