"""Notices of keys that end soon: 14 days, 3 days and a day before."""

from collections.abc import Iterable
from datetime import datetime, timedelta

from django.utils import timezone

from tenants.models import ApiKey, OperatorKey, User
from tenants.notices.outbox import announce
from tenants.notices.rules import holders, operators
from tenants.roles import Permission

DAYS = (14, 3, 1)


def look() -> None:
    now = timezone.now()
    soon = {"expires_at__gt": now, "expires_at__lte": now + timedelta(days=DAYS[0])}
    keys = ApiKey.objects.filter(revoked_at=None, replaced_by=None, **soon)
    for key in keys.select_related("created_by__user"):
        maker = key.created_by.user if key.created_by else None
        people = [maker] if maker else holders(Permission.MANAGE_KEYS, key.tenant_id)
        _tell("key.expiring", key, people, key.tenant_id)
    for operator_key in OperatorKey.objects.filter(revoked_at=None, **soon):
        _tell("operator_key.expiring", operator_key, operators(), None)


def _tell(event: str, key: ApiKey | OperatorKey, people: Iterable[User], tenant_id: object) -> None:
    assert key.expires_at
    days = due_days(key.created_at, key.expires_at, timezone.now())
    if days is None:
        return
    facts = {"key": str(key.pk), "name": key.name, "expires_at": key.expires_at.isoformat()}
    occasion = f"{event}:{key.pk}:{key.expires_at:%Y%m%d}:{days}"
    announce(event, occasion, tenant_id=tenant_id, people=people, facts=facts)  # type: ignore[arg-type]


def due_days(created_at: datetime, expires_at: datetime, now: datetime) -> int | None:
    """Returns 14, 3 or 1: the notice that is due. A key that lives shorter needs none so early."""
    reached = [days for days in DAYS if expires_at - now <= timedelta(days=days)]
    useful = [days for days in reached if expires_at - created_at > timedelta(days=days)]
    return useful[-1] if useful else None
