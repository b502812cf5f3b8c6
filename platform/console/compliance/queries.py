"""Queries of several checks: acts of the last days, people, and changes that must be refused."""

from collections import Counter
from datetime import datetime, timedelta

from django.db import DatabaseError, transaction
from django.db.models import Count, QuerySet
from django.utils import timezone

from audit.models import Event
from tenants.models import Tenant, User

DAYS = 90


def since(days: int = DAYS) -> datetime:
    return timezone.now() - timedelta(days=days)


def acts(tenant: Tenant | None, days: int = DAYS) -> Counter[str]:
    """Count the acts by action, without completions (an index has only the other acts)."""
    events = Event.objects.filter(at__gte=since(days)).exclude(action__startswith="completion:")
    if tenant:
        events = events.of_tenant(tenant.id)
    rows = events.order_by().values_list("action").annotate(number=Count("pk"))
    return Counter(dict(rows))


def people(tenant: Tenant | None) -> QuerySet[User]:
    """Returns the people who can sign in; in a tenant, its members."""
    users = User.objects.filter(is_active=True)
    return users.filter(memberships__tenant=tenant) if tenant else users


class RefusedChange:
    """A context manager for a change: `refused` says afterwards whether the database refused it."""

    def __init__(self) -> None:
        self.refused = False
        self._part = transaction.atomic()

    def __enter__(self) -> "RefusedChange":
        self._part.__enter__()
        return self

    def __exit__(self, kind: type[BaseException] | None, problem: object, trace: object) -> bool:
        self._part.__exit__(kind, problem, trace)  # type: ignore[arg-type]
        self.refused = kind is not None and issubclass(kind, DatabaseError)
        return self.refused
