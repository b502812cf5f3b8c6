"""Quotas with their present use, as pages list them."""

from dataclasses import dataclass

from django.db.models import QuerySet
from django.utils import timezone

from tenants.models import Quota, Tenant
from tenants.models.balance import Balance, balances


@dataclass(frozen=True, slots=True)
class QuotaLine:
    quota: Quota
    standing: Balance

    @property
    def bar(self) -> int:
        """Returns the width of the bar in percent, at most 100."""
        return min(100, self.standing.percent)


def lines(tenant: Tenant, quotas: QuerySet[Quota]) -> list[QuotaLine]:
    """Returns the fullest quotas first."""
    rows = list(quotas.select_related("tenant", "api_key", "member__user", "team"))
    states = balances(rows, tenant.time_zone, timezone.now())
    shown = (QuotaLine(quota, states[quota.id]) for quota in rows)
    return sorted(shown, key=lambda line: (-line.standing.percent, str(line.quota.id)))
