"""Quotas with their present use, as pages list them."""

from collections.abc import Sequence
from dataclasses import dataclass

from django.db.models import QuerySet
from django.utils import timezone

from tenants.models import Quota, Tenant
from tenants.models.quotas.balance import Balance, balances


@dataclass(frozen=True, slots=True)
class QuotaLine:
    quota: Quota
    standing: Balance

    @property
    def bar(self) -> int:
        """Returns the width of the bar in percent, at most 100."""
        return min(100, self.standing.percent)


RELATED = ("tenant", "api_key", "member__user", "team")


def lines_of(tenant: Tenant, rows: Sequence[Quota]) -> list[QuotaLine]:
    """Returns the lines of these quotas, in their order."""
    states = balances(rows, tenant.time_zone, timezone.now())
    return [QuotaLine(quota, states[quota.id]) for quota in rows]


def lines(tenant: Tenant, quotas: QuerySet[Quota]) -> list[QuotaLine]:
    """Returns the fullest quotas first."""
    shown = lines_of(tenant, list(quotas.select_related(*RELATED)))
    return sorted(shown, key=lambda line: (-line.standing.percent, str(line.quota.id)))
