"""The queue of a pool as its page and the management API show it: with names, and with figures."""

from dataclasses import dataclass
from typing import cast
from uuid import UUID

from django.core.cache import caches

from console.serving.queue_figures import PoolWaits, Waits, pool_waits
from console.usage.figures import LIVE_FOR
from inference import classes
from inference.lines.overview import ClassLines, TenantLine, overview
from tenants.models import Tenant


@dataclass(frozen=True, slots=True)
class Line:
    line: TenantLine
    tenant: str  # its name
    waits: Waits


@dataclass(frozen=True, slots=True)
class OfClass:
    of: ClassLines
    waits: Waits
    lines: list[Line]

    @property
    def lower(self) -> list[str]:
        """The classes to which its requests may go."""
        return below(self.of.name)


@dataclass(frozen=True, slots=True)
class Queue:
    waiting: int
    running: int
    classes: list[OfClass]


def below(klass: str) -> list[str]:
    return [name for name in classes.names() if classes.rank(name) > classes.rank(klass)]


def queue_of(pool: str) -> Queue:
    """Kept for a moment: how many people watch matters to nobody. Raises redis.RedisError."""
    found = caches["process"].get_or_set(f"queue:{pool}", lambda: _queue(pool), LIVE_FOR)
    return cast("Queue", found)


def forget(pool: str) -> None:
    """After an act: who has done it sees what came of it."""
    caches["process"].delete(f"queue:{pool}")


def _queue(pool: str) -> Queue:
    found = overview(pool)
    ids = {line.tenant for each in found.classes for line in each.lines}
    waits, names = pool_waits(pool, ids), _names(ids)
    return Queue(
        found.waiting, found.running, [_of_class(each, waits, names) for each in found.classes]
    )


def _names(ids: set[str]) -> dict[str, str]:
    rows = Tenant.objects.filter(pk__in=[UUID(each) for each in ids])
    return {str(pk): name for pk, name in rows.values_list("pk", "name")}


def _of_class(found: ClassLines, waits: PoolWaits, names: dict[str, str]) -> OfClass:
    nothing = Waits()
    lines = [
        Line(
            line,
            names.get(line.tenant, line.tenant),
            waits.by_tenant.get((found.name, line.tenant), nothing),
        )
        for line in found.lines
    ]
    return OfClass(found, waits.by_class.get(found.name, nothing), lines)
