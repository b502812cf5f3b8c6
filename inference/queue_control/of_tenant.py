"""The waiting requests of one tenant: their positions, and when they are likely to begin.

It shows no more of others than each client learns when it joins: how many go before.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from inference import classes
from inference.order import Item
from inference.queue.client import ask_script, client
from inference.queue.expected_wait import Line
from inference.queue.fair_queue import TENANT_LINES, WAITING, prefix
from inference.queue_control.overview import waited_s

MOST = 50  # requests of a line that are returned


@dataclass(frozen=True, slots=True)
class Waiting:
    id: str
    own_before: int  # the tenant's own requests before it
    position: int  # approximate: 1 is next
    wait_ms: int  # expected; 0: unknown
    waited_s: float | None
    requeued: bool  # its worker died
    parked: bool  # it was preempted by a higher class


@dataclass(frozen=True, slots=True)
class OwnLine:
    """A tenant's line in one class of one pool."""

    pool: str
    klass: str
    waiting: int
    requests: tuple[Waiting, ...]  # in the order in which they will begin
    higher_classes: bool  # whether requests of higher classes wait
    takes_turns: bool  # whether other tenants of the class wait
    weight: int  # of the tenant, for its turns
    full: bool  # no slot is free

    @property
    def more(self) -> int:
        """Returns how many requests are not returned."""
        return max(0, self.waiting - len(self.requests))


def own_lines(tenant: str, pools: Iterable[str], most: int = MOST) -> list[OwnLine]:
    """Returns lines in one round trip. Raises redis.RedisError."""
    names, pool_names = classes.names(), list(pools)
    with client().pipeline(transaction=False) as ask:
        for pool in pool_names:
            ask_script(ask, TENANT_LINES, prefix(pool), tenant, most, *names)
            ask_script(ask, WAITING, prefix(pool), *names)
        answers = ask.execute()
    return [
        _line(pool, Line.parsed(waiting), *of_class)
        for pool, lines, waiting in zip(pool_names, answers[::2], answers[1::2], strict=True)
        for of_class in lines
        if len(of_class) > 3
    ]


def _line(pool: str, line: Line, name: bytes, length: int, tenants: int, *parts: Any) -> OwnLine:
    klass, items = name.decode(), [Item.parse(item) for item in parts[::2]]
    above = line.before(klass) - line.waiting.get(klass, 0)
    return OwnLine(
        pool=pool,
        klass=klass,
        waiting=length,
        requests=tuple(
            _waiting(item, n, line.in_turns(klass, n + 1, tenants), line, parked=bool(parked))
            for n, (item, parked) in enumerate(zip(items, parts[1::2], strict=True))
        ),
        higher_classes=above > 0,
        takes_turns=tenants > 1,
        weight=items[0].weight,
        full=line.full,
    )


def _waiting(item: Item, own_before: int, position: int, line: Line, *, parked: bool) -> Waiting:
    return Waiting(
        id=item.id,
        own_before=own_before,
        position=position,
        wait_ms=round(line.wait_s(position) * 1000),
        waited_s=waited_s(item.id),
        requeued=item.attempt > 1,
        parked=parked,
    )
