"""Queries of several checks: rows of a tenant, acts of the last days, people, refused changes."""

from collections import Counter
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import TypeVar

from django.db import DatabaseError, transaction
from django.db.models import Count, Model, Q, QuerySet
from django.utils import timezone

from audit.models import Event
from tenants.models import Tenant, User

DAYS = 90
M = TypeVar("M", bound=Model)


def since(days: int = DAYS) -> datetime:
    return timezone.now() - timedelta(days=days)


def owned(rows: QuerySet[M], tenant: Tenant | None) -> QuerySet[M]:
    """Returns the tenant's rows; for the platform, all of them."""
    return rows.filter(Q(tenant_id=tenant.id)) if tenant else rows


def acts(tenant: Tenant | None) -> Counter[str]:
    """Count the acts by action, without completions (an index has only the other acts)."""
    events = Event.objects.filter(at__gte=since()).exclude(action__startswith="completion:")
    if tenant:
        events = events.of_tenant(tenant.id)
    rows = events.order_by().values_list("action").annotate(number=Count("pk"))
    return Counter(dict(rows))


def people(tenant: Tenant | None) -> QuerySet[User]:
    """Returns the people who can sign in; in a tenant, its members."""
    users = User.objects.filter(is_active=True)
    return users.filter(memberships__tenant=tenant) if tenant else users


def is_refused(change: Callable[[], object]) -> bool:
    """Returns whether the database refuses the change."""
    try:
        with transaction.atomic():
            change()
    except DatabaseError:
        return True
    return False
