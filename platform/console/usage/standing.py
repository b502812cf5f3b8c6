"""Whether the platform stands well, without Grafana: engines, seals, erasures, sign-ins.

All of it is bounded: registries, open requests, and the acts of some minutes. figures.py keeps it
for a moment.
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
from inference.engines import pools
from inference.engines.standing import Condition, standing
from inference.models import Engine
from inference.queue.occupancy import occupancy
from tenants.models import Tenant
from tenants.roles import Permission

MOST = 5_000  # that are counted, however many passwords somebody tries
SIGN_INS = timedelta(minutes=15)
NAMED = 3  # engines that are not ready
BEHIND_S = 60  # the sealer comes every second
NEAR_H = 24  # of 72 hours
PERMISSIONS = (Permission.MANAGE_DELETIONS, Permission.VIEW_AUDIT)  # what a tenant's goes by


@dataclass(frozen=True, slots=True)
class Engines:
    """Those that load a new version are left out: nobody uses them yet."""

    number: int
    ready: int
    others: tuple[tuple[str, Condition], ...]  # names of some that are not, and why
    down: bool  # one that should be there is not
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
    hours_left: float | None  # of the one that is due first; None where no clock runs

    @property
    def near(self) -> bool:
        return self.hours_left is not None and self.hours_left < NEAR_H

    @property
    def overdue(self) -> bool:
        return self.hours_left is not None and self.hours_left < 0


@dataclass(frozen=True, slots=True)
class SignIns:
    """Of the last minutes. `locked`: accounts and addresses that have to rest since then."""

    refused: int
    locked: int

    @property
    def most(self) -> bool:
        """There may be more."""
        return self.refused + self.locked >= MOST


@dataclass(frozen=True, slots=True)
class Standing:
    """What is not for who looks is None."""

    engines: Engines | None
    seals: Seals | None
    erasures: Erasures | None
    sign_ins: SignIns | None


def of_platform() -> Standing:
    """Without the engines."""
    return Standing(None, _seals(), _erasures(None), _sign_ins(None))


def of_tenant(tenant: Tenant, held: Collection[Permission]) -> Standing:
    """Its own, as far as a role that holds these permissions may know."""
    return Standing(
        engines=None,
        seals=None,
        erasures=_erasures(tenant) if Permission.MANAGE_DELETIONS in held else None,
        sign_ins=_sign_ins(tenant) if Permission.VIEW_AUDIT in held else None,
    )


def engine_rows() -> list[Engine]:
    return list(Engine.objects.filter(staged=False).select_related("pool").order_by("name"))


def engines(rows: Sequence[Engine], busy: int | None) -> Engines:
    """As this process knows them at this moment; `busy` slots."""
    conditions = [(row.name, standing(row).condition) for row in rows]
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
    """None while Redis is away."""
    try:
        return sum(each.running for each in occupancy(pools()).values())
    except RedisError:
        return None


def _seals() -> Seals:
    try:
        return Seals(unsealed_age(), stopped=False)
    except CannotSeal:
        return Seals(0.0, stopped=True)


def _erasures(tenant: Tenant | None) -> Erasures:
    """A restriction that has begun stays open until retention ends: no clock runs."""
    rows = DeletionRequest.objects.open()
    if tenant:
        rows = rows.filter(tenant_id=tenant.id)
    begun = Q(mode=DeletionMode.RESTRICT, started_at__isnull=False)
    runs = Q(held_at=None) & ~begun
    found = rows.aggregate(open=Count("pk"), due=Min("due_at", filter=runs))
    left = found["due"] and (found["due"] - timezone.now()) / timedelta(hours=1)
    return Erasures(found["open"], left)


def _sign_ins(tenant: Tenant | None) -> SignIns:
    """Over an index that has only acts (search/events.py)."""
    acts = Event.objects.filter(at__gte=timezone.now() - SIGN_INS).exclude(action__in=REQUESTS)
    acts = acts.of_tenant(tenant.id) if tenant else acts.filter(id__gt=0)
    wanted = acts.filter(action__in=(Action.SESSION_DENIED, Action.SESSION_LOCKED))
    locked = Q(action=Action.SESSION_LOCKED)
    found = wanted.newest_first()[:MOST].aggregate(
        refused=Count("pk", filter=~locked), locked=Count("pk", filter=locked)
    )
    return SignIns(**found)
