"""Which events: the questions an auditor asks, as filters that chain."""

from datetime import datetime
from typing import TYPE_CHECKING, Self
from uuid import UUID

from django.db import models

if TYPE_CHECKING:
    from audit.models import Event
    Base = models.QuerySet["Event"]
else:
    Base = models.QuerySet


class EventQuerySet(Base):
    def of_tenant(self, tenant_id: UUID) -> Self:
        return self.filter(tenant_id=tenant_id)

    def by(self, actor: str) -> Self:
        return self.filter(actor=actor)

    def between(self, start: datetime | None, end: datetime | None) -> Self:
        events = self
        if start:
            events = events.filter(at__gte=start)
        if end:
            events = events.filter(at__lt=end)
        return events

    def newest_first(self) -> Self:
        return self.order_by("-at", "-id")
