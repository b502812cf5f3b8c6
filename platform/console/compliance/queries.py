"""What several checks ask the database: acts of the last days, people, and what must be refused."""

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
    """How often what was done. Requests for completions are left out (an index has only acts)."""
    events = Event.objects.filter(at__gte=since(days)).exclude(action__startswith="completion:")
    if tenant:
        events = events.of_tenant(tenant.id)
    rows = events.order_by().values_list("action").annotate(number=Count("pk"))
    return Counter(dict(rows))


def people(tenant: Tenant | None) -> QuerySet[User]:
    """Those who can sign in; in a tenant, its members."""
    found = User.objects.filter(is_active=True)
    return found.filter(memberships__tenant=tenant) if tenant else found


class Refused:
    """`with refused: …` says afterwards in `.told` whether the database said no."""

    def __init__(self) -> None:
        self.told = False
        self._part = transaction.atomic()

    def __enter__(self) -> "Refused":
        self._part.__enter__()
        return self

    def __exit__(self, kind: type[BaseException] | None, problem: object, trace: object) -> bool:
        self._part.__exit__(kind, problem, trace)  # type: ignore[arg-type]
        self.told = kind is not None and issubclass(kind, DatabaseError)
        return self.told
