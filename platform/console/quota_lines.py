"""Quotas with what stands against each, as pages list them."""

from dataclasses import dataclass

from django.db.models import QuerySet
from django.utils import timezone

from tenants.models import Quota, Tenant
from tenants.models.standing import Standing, standings


@dataclass(frozen=True, slots=True)
class Line:
    quota: Quota
    standing: Standing

    @property
    def bar(self) -> int:
        """How full, in percent: the bar ends at 100."""
        return min(100, self.standing.percent)


def lines(tenant: Tenant, quotas: QuerySet[Quota]) -> list[Line]:
    """Returns the fullest first."""
    found = list(quotas.select_related("tenant", "api_key", "member__user"))
    stand = standings(found, tenant.time_zone, timezone.now())
    return sorted((Line(quota, stand[quota.id]) for quota in found), key=_fullest_first)


def _fullest_first(line: Line) -> tuple[int, str]:
    return -line.standing.percent, str(line.quota.id)
