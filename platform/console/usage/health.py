"""Health of the platform without Grafana: engines, seals, erasures, sign-ins.

All reads are bounded: registries, open requests, acts of some minutes. figures.py caches them.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import timedelta

from django.db.models import Count, Min, Q
from django.utils import timezone
from redis import RedisError

from audit.actions import Action
from audit.models import DeletionMode, DeletionRequest, Event
from audit.models.event import REQUESTS
from audit.proof.seal_mark import CannotSeal, unsealed_age
from inference.engines import all_queues
from inference.engines.health.reachability import Condition, engine_state
from inference.models import Engine
from inference.queue.occupancy import occupancy
from tenants.models import Tenant
from tenants.roles import Permission

MOST = 5_000  # counted at most, however many passwords somebody tries
SIGN_INS = timedelta(minutes=15)
NAMED = 3  # engines that are not ready and are listed by name
BEHIND_S = 60  # the sealer comes every second
NEAR_H = 24  # of 72 hours
PERMISSIONS = (Permission.MANAGE_DELETIONS, Permission.VIEW_AUDIT)  # each shows one part


@dataclass(frozen=True, slots=True)
class Engines:
    """Engines of the platform, without those that still load a new version."""

    number: int
    ready: int
    others: tuple[tuple[str, Condition], ...]  # some that are not ready, and their condition
    down: bool  # at least one is down
    slots: int
    busy: int | None  # None: Redis is unavailable

    @property
    def more(self) -> int:
        return self.number - self.ready - len(self.others)

    @property
    def full(self) -> bool:
        return bool(self.slots) and self.busy is not None and self.busy >= self.slots


@dataclass(frozen=True, slots=True)
class Seals:
    behind_s: float
    stopped: bool

    @property
    def late(self) -> bool:
        return self.stopped or self.behind_s > BEHIND_S


@dataclass(frozen=True, slots=True)
class Erasures:
    open: int
    hours_left: float | None  # of the request due first; None where no clock runs

    @property
    def near(self) -> bool:
        return self.hours_left is not None and self.hours_left < NEAR_H

    @property
    def overdue(self) -> bool:
        return self.hours_left is not None and self.hours_left < 0


@dataclass(frozen=True, slots=True)
class SignIns:
    """Sign-ins refused in the last minutes. `locked`: accounts and addresses locked since then."""

    refused: int
    locked: int

    @property
    def most(self) -> bool:
        """Returns whether the count has reached its maximum: there may be more."""
        return self.refused + self.locked >= MOST


@dataclass(frozen=True, slots=True)
class Health:
    """The health of the platform or a tenant. Parts that the caller may not see are None."""

    engines: Engines | None = None
    seals: Seals | None = None
    erasures: Erasures | None = None
    sign_ins: SignIns | None = None


def of_platform() -> Health:
    """Returns all but the engines."""
    return Health(seals=_seals(), erasures=_erasures(None), sign_ins=_sign_ins(None))


def of_tenant(tenant: Tenant, permissions: Collection[Permission]) -> Health:
    """Returns the part of a tenant's health that these permissions may see."""
    return Health(
        erasures=_erasures(tenant) if Permission.MANAGE_DELETIONS in permissions else None,
        sign_ins=_sign_ins(tenant) if Permission.VIEW_AUDIT in permissions else None,
    )


def engine_rows() -> list[Engine]:
    return list(Engine.objects.filter(staged=False).select_related("pool").order_by("name"))


def engines(rows: Sequence[Engine], busy: int | None) -> Engines:
    """Returns the engines as this process knows them now; `busy`: slots in use."""
    conditions = [(row.name, engine_state(row).condition) for row in rows]
    others = [each for each in conditions if each[1] != Condition.READY]
    return Engines(
        number=len(rows),
        ready=len(rows) - len(others),
        others=tuple(others[:NAMED]),
        down=any(condition == Condition.DOWN for _name, condition in others),
        slots=sum(row.slots for row in rows),
        busy=busy,
    )


def busy_slots() -> int | None:
    """Returns None while Redis is away."""
    try:
        return sum(each.running for each in occupancy(all_queues()).values())
    except RedisError:
        return None


def _seals() -> Seals:
    try:
        return Seals(unsealed_age(), stopped=False)
    except CannotSeal:
        return Seals(0.0, stopped=True)


def _erasures(tenant: Tenant | None) -> Erasures:
    """Returns the open deletion requests. No clock runs for a restriction that has begun."""
    rows = DeletionRequest.objects.open()
    if tenant:
        rows = rows.filter(tenant_id=tenant.id)
    restricting = Q(mode=DeletionMode.RESTRICT, started_at__isnull=False)
    runs = Q(held_at=None) & ~restricting
    totals = rows.aggregate(open=Count("pk"), due=Min("due_at", filter=runs))
    hours = totals["due"] and (totals["due"] - timezone.now()) / timedelta(hours=1)
    return Erasures(totals["open"], hours)


def _sign_ins(tenant: Tenant | None) -> SignIns:
    """Count over an index that has only acts (audit/search/events.py)."""
    acts = Event.objects.filter(at__gte=timezone.now() - SIGN_INS).exclude(action__in=REQUESTS)
    acts = acts.of_tenant(tenant.id) if tenant else acts.filter(id__gt=0)
    refusals = acts.filter(action__in=(Action.SESSION_DENIED, Action.SESSION_LOCKED))
    locked = Q(action=Action.SESSION_LOCKED)
    counts = refusals.newest_first()[:MOST].aggregate(
        refused=Count("pk", filter=~locked), locked=Count("pk", filter=locked)
    )
    return SignIns(**counts)
