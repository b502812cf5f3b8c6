"""What one tenant has waiting: where each request stands, and when it is likely to begin.

Of others it knows no more than what each client is told as it joins: how many go before.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from inference import classes
from inference.lines.overview import waited_s
from inference.order import Item
from inference.queue.client import ask_script, client
from inference.queue.expected_wait import Line
from inference.queue.fair_queue import TENANT_LINES, WAITING, prefix

MOST = 50  # requests of a line that are told


@dataclass(frozen=True, slots=True)
class Waiting:
    id: str
    own_before: int  # of the tenant's own requests
    position: int  # about: 1 is next
    wait_ms: int  # that is expected; 0: not known
    waited_s: float | None
    requeued: bool  # its worker died
    parked: bool  # it gave its slot to a higher class


@dataclass(frozen=True, slots=True)
class OwnLine:
    """A tenant's line in one class of one pool."""

    pool: str
    klass: str
    waiting: int
    requests: tuple[Waiting, ...]  # in the order in which they begin
    higher_classes: bool  # wait too, and go first
    takes_turns: bool  # with other tenants of the class
    weight: int  # that its turns go by
    full: bool  # no slot is free

    @property
    def more(self) -> int:
        """Requests that are not told."""
        return max(0, self.waiting - len(self.requests))


def own_lines(tenant: str, pools: Iterable[str], most: int = MOST) -> list[OwnLine]:
    """In one round trip. Raises redis.RedisError."""
    names, wanted = classes.names(), list(pools)
    with client().pipeline(transaction=False) as ask:
        for pool in wanted:
            ask_script(ask, TENANT_LINES, prefix(pool), tenant, most, *names)
            ask_script(ask, WAITING, prefix(pool), *names)
        told = ask.execute()
    return [
        _line(pool, Line.parsed(waiting), *of_class)
        for pool, lines, waiting in zip(wanted, told[::2], told[1::2], strict=True)
        for of_class in lines
        if len(of_class) > 3
    ]


def _line(pool: str, line: Line, name: bytes, length: int, tenants: int, *told: Any) -> OwnLine:
    klass, items = name.decode(), [Item.parse(item) for item in told[::2]]
    above = line.before(klass) - line.waiting.get(klass, 0)
    return OwnLine(
        pool=pool,
        klass=klass,
        waiting=length,
        requests=tuple(
            _waiting(item, n, line.in_turns(klass, n + 1, tenants), line, parked=bool(parked))
            for n, (item, parked) in enumerate(zip(items, told[1::2], strict=True))
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
