"""The queue of a pool with names and figures, for its page and the management API."""

from dataclasses import dataclass
from typing import cast
from uuid import UUID

from django.core.cache import caches

from console.serving.queue_figures import PoolWaits, Waits, pool_waits
from console.usage.figures import LIVE_FOR
from inference import classes
from inference.queue_control.overview import ClassLines, TenantLine, overview
from tenants.models import Tenant


@dataclass(frozen=True, slots=True)
class Line:
    line: TenantLine
    tenant: str  # its name
    waits: Waits


@dataclass(frozen=True, slots=True)
class ClassQueue:
    of: ClassLines
    waits: Waits
    lines: list[Line]

    @property
    def lower(self) -> list[str]:
        """Returns the classes to which its requests may be lowered."""
        return below(self.of.name)


@dataclass(frozen=True, slots=True)
class Queue:
    waiting: int
    running: int
    classes: list[ClassQueue]


def below(klass: str) -> list[str]:
    return [name for name in classes.names() if classes.rank(name) > classes.rank(klass)]


def queue_of(pool: str) -> Queue:
    """Return the queue, cached for a moment for all viewers. Raises redis.RedisError."""
    queue = caches["process"].get_or_set(f"queue:{pool}", lambda: _queue(pool), LIVE_FOR)
    return cast("Queue", queue)


def drop_cached(pool: str) -> None:
    """Drop the cached queue after an act, so that its effect is shown."""
    caches["process"].delete(f"queue:{pool}")


def _queue(pool: str) -> Queue:
    state = overview(pool)
    ids = {line.tenant for each in state.classes for line in each.lines}
    waits, names = pool_waits(pool, ids), _names(ids)
    return Queue(
        state.waiting,
        state.running,
        [_of_class(each, waits, names) for each in state.classes],
    )


def _names(ids: set[str]) -> dict[str, str]:
    rows = Tenant.objects.filter(pk__in=[UUID(each) for each in ids])
    return {str(pk): name for pk, name in rows.values_list("pk", "name")}


def _of_class(class_lines: ClassLines, waits: PoolWaits, names: dict[str, str]) -> ClassQueue:
    nothing = Waits()
    lines = [
        Line(
            line,
            names.get(line.tenant, line.tenant),
            waits.by_tenant.get((class_lines.name, line.tenant), nothing),
        )
        for line in class_lines.lines
    ]
    return ClassQueue(class_lines, waits.by_class.get(class_lines.name, nothing), lines)
