"""The waiting requests of one tenant: their positions, and when they are likely to begin.

It shows no more of others than each client learns when it joins: how many go before.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from django.db.models import TextChoices
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from inference import classes
from inference.engines import all_queues
from inference.order import Item
from inference.queue.client import ask_script, client
from inference.queue.expected_wait import QueueFigures
from inference.queue.fair_queue import TENANT_LINES, WAITING, prefix
from inference.queue_control.overview import waited_s

MOST = 50  # requests of a line that are returned


@dataclass(frozen=True, slots=True)
class WaitingRequest:
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
    requests: tuple[WaitingRequest, ...]  # in the order in which they will begin
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
        _line(pool, QueueFigures.parsed(waiting), *of_class)
        for pool, lines, waiting in zip(pool_names, answers[::2], answers[1::2], strict=True)
        for of_class in lines
        if len(of_class) > 3
    ]


def _line(
    pool: str, line: QueueFigures, name: bytes, length: int, tenants: int, *parts: Any
) -> OwnLine:
    klass, items = name.decode(), [Item.parse(item) for item in parts[::2]]
    above = line.before(klass) - line.waiting.get(klass, 0)
    requests = []
    for n, (item, parked) in enumerate(zip(items, parts[1::2], strict=True)):
        position = line.in_turns(klass, n + 1, tenants)
        wait_ms, requeued = round(line.wait_s(position) * 1000), item.attempt > 1
        waited = waited_s(item.id)
        requests.append(
            WaitingRequest(item.id, n, position, wait_ms, waited, requeued, bool(parked))
        )
    return OwnLine(
        pool=pool,
        klass=klass,
        waiting=length,
        requests=tuple(requests),
        higher_classes=above > 0,
        takes_turns=tenants > 1,
        weight=items[0].weight,
        full=line.full,
    )


class Reason(TextChoices):
    NO_ENGINE = "no_engine", _("No engine of the pool takes requests at the moment.")
    FULL = (
        "full",
        _("Every slot is busy, or the last free ones are kept for others who may come."),
    )
    HIGHER_CLASSES = "higher_classes", _("Requests of higher classes begin first.")
    TURNS = "turns", _("Tenants take turns, each as often as its weight says.")
    OWN_BACKLOG = "own_backlog", _("Your own earlier requests begin first.")
    STARTING = "starting", _("Nothing is before them: the next free slot is theirs.")


ADVICE: dict[str, Promise] = {
    Reason.NO_ENGINE: _("The operators of the platform see this too. Requests wait on meanwhile."),
    Reason.FULL: _("Send large amounts at a quieter time, or as a batch."),
    Reason.HIGHER_CLASSES: _(
        "Leave out x-forebay-class where an answer is urgent. A class that has waited for long "
        "gets a share all the same."
    ),
    Reason.TURNS: _("A higher tier has a larger weight, and its turn comes more often."),
    Reason.OWN_BACKLOG: _("Send fewer requests at once, or set max_tokens lower."),
    Reason.STARTING: _("Nothing to do: they begin within moments."),
}


@dataclass(frozen=True, slots=True)
class WaitCause:
    reason: Reason
    advice: Promise


def causes(line: OwnLine) -> list[WaitCause]:
    """Returns at least one cause, the most important first."""
    reasons = list(_reasons(line)) or [Reason.STARTING]
    return [WaitCause(reason, ADVICE[reason]) for reason in reasons]


def _reasons(line: OwnLine) -> Iterator[Reason]:
    pool = all_queues().get(line.pool)
    if pool is None or not pool.engines:
        yield Reason.NO_ENGINE
    if line.higher_classes:
        yield Reason.HIGHER_CLASSES
    if line.takes_turns:
        yield Reason.TURNS
    if line.waiting > 1:
        yield Reason.OWN_BACKLOG
    if line.full:
        yield Reason.FULL
