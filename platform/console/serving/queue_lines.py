"""The queue of a pool, and operators' acts on it, for its page and the management API."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, cast
from uuid import UUID

from django.core.cache import caches
from django.db.models import Sum
from django.utils import timezone

from console.usage.figures import LATENCY_WINDOW, LIVE_FOR, Percentile
from inference import classes
from inference.models import Pool, Usage
from inference.queue_control import cancelling
from inference.queue_control.cancelling import Chosen, cancel
from inference.queue_control.lowering import lower
from inference.queue_control.overview import ClassLines, TenantLine, overview
from tenants.models import Tenant

MOST_LOWERED, MOST_CANCELLED = 500, 100  # at once
_AMOUNTS = {
    "p50": Percentile("queue_ms", fraction=0.5),
    "p95": Percentile("queue_ms", fraction=0.95),
    "preempted": Sum("preemptions"),
}


@dataclass(frozen=True, slots=True)
class Waits:
    """Figures of requests that ended in the last five minutes.

    Waits are in ms, None where none has ended; `preempted` counts how often they gave their slots
    to a higher class.
    """

    p50: int | None = None
    p95: int | None = None
    preempted: int = 0


@dataclass(frozen=True, slots=True)
class PoolWaits:
    by_class: dict[str, Waits]
    by_tenant: dict[tuple[str, str], Waits]  # class and id


def pool_waits(pool: str, tenants: Collection[str]) -> PoolWaits:
    """Read the waits by two queries over the index on the time of usage."""
    since = timezone.now() - timedelta(seconds=LATENCY_WINDOW)
    rows = Usage.objects.filter(created_at__gte=since, pool=pool).order_by()
    of_tenants = rows.filter(tenant_id__in=[UUID(each) for each in tenants])
    return PoolWaits(
        {row["klass"]: _waits(row) for row in rows.values("klass").annotate(**_AMOUNTS)},
        {
            (row["klass"], str(row["tenant_id"])): _waits(row)
            for row in of_tenants.values("klass", "tenant_id").annotate(**_AMOUNTS)
        },
    )


def _waits(row: Any) -> Waits:
    return Waits(row["p50"], row["p95"], row["preempted"])


@dataclass(frozen=True, slots=True)
class TenantRow:
    line: TenantLine
    tenant: str  # its name
    waits: Waits


@dataclass(frozen=True, slots=True)
class ClassQueue:
    of: ClassLines
    waits: Waits
    lines: list[TenantRow]

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
        TenantRow(
            line,
            names.get(line.tenant, line.tenant),
            waits.by_tenant.get((class_lines.name, line.tenant), nothing),
        )
        for line in class_lines.lines
    ]
    return ClassQueue(class_lines, waits.by_class.get(class_lines.name, nothing), lines)


# Acts on waiting requests ------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class About:
    """One request, or the requests that a tenant has waiting in a class."""

    request: UUID | None = None
    tenant: Tenant | None = None
    klass: str = ""


@dataclass(frozen=True, slots=True)
class Done:
    requests: int
    left: int  # requests that still wait: the act may be repeated


def lower_requests(pool: Pool, about: About, to: str, *, by: str) -> Done | None:
    """Returns None if no such request waits. Raises ValidationError, redis.RedisError."""
    chosen = _chosen(pool, about, MOST_LOWERED)
    done = Done(lower(chosen, to, by=by), chosen.more) if chosen else None
    drop_cached(pool.name)
    return done


def cancel_requests(pool: Pool, about: About, *, by: str) -> Done | None:
    """Returns None if no such request waits. Raises redis.RedisError."""
    chosen = _chosen(pool, about, MOST_CANCELLED)
    done = Done(cancel(chosen, by=by), chosen.more) if chosen else None
    drop_cached(pool.name)
    return done


def _chosen(pool: Pool, about: About, most: int) -> Chosen | None:
    if about.request:
        return cancelling.chosen_request(pool.name, about.request)
    assert about.tenant
    return cancelling.chosen_line(pool.name, about.klass, about.tenant.pk, most)
