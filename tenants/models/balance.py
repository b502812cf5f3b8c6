"""The use of quotas in their windows."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING
from uuid import UUID

from django.apps import apps
from django.db.models import Sum

from tenants.quotas import windows

if TYPE_CHECKING:
    from tenants.models import Quota

_Windows = dict[tuple[datetime, datetime], tuple[int, int]]  # (used, reserved) by start and end


@dataclass(frozen=True, slots=True)
class Balance:
    """A quota's window: `used` by finished requests, `reserved` by those in progress."""

    limit: int
    raised: int
    used: int
    reserved: int
    starts: datetime
    ends: datetime

    @property
    def allowed(self) -> int:
        return self.limit + self.raised

    @property
    def remaining(self) -> int:
        return max(0, self.allowed - self.used - self.reserved)

    @property
    def percent(self) -> int:
        """Used and reserved, as a percentage of what is allowed."""
        committed = self.used + self.reserved
        return round(100 * committed / self.allowed) if self.allowed else 100


def balances(quotas: Sequence[Quota], time_zone: str, at: datetime) -> dict[UUID, Balance]:
    """Returns balances by quota id, for quotas of one tenant.

    It takes two queries, and one for each quota without a counter. After a change of the time zone
    a window of the old one may continue: the fuller window is returned.
    """
    bounds = {quota.id: windows.bounds(quota.window, at, time_zone) for quota in quotas}
    counted = _counted(bounds, at)
    raised = _raised(list(bounds), at)
    by_quota = {}
    for quota in quotas:
        present, more = bounds[quota.id], raised.get(quota.id, 0)
        by_window = counted.get(quota.id, {})
        if present not in by_window:
            by_window[present] = windows.ledger_sum(quota.id, *present)
        (starts, ends), (used, reserved) = max(
            by_window.items(), key=lambda window: (sum(window[1]), window[0] == present)
        )
        by_quota[quota.id] = Balance(quota.limit, more, used, reserved, starts, ends)
    return by_quota


def _counted(ids: Iterable[UUID], at: datetime) -> dict[UUID, _Windows]:
    """Returns (used, reserved) by quota and window."""
    rows = apps.get_model("tenants", "QuotaCounter")._default_manager.filter(
        quota_id__in=ids, starts__lte=at, ends__gt=at
    )
    columns = ("quota_id", "starts", "ends", "used", "reserved")
    by_quota: dict[UUID, _Windows] = {}
    for quota_id, starts, ends, used, reserved in rows.values_list(*columns):
        by_quota.setdefault(quota_id, {})[starts, ends] = used, reserved
    return by_quota


def _raised(ids: list[UUID], at: datetime) -> dict[UUID, int]:
    rows = apps.get_model("tenants", "QuotaRaise")._default_manager
    holding = rows.filter(quota_id__in=ids, state="approved", expires_at__gt=at)
    return dict(holding.values_list("quota_id").annotate(total=Sum("amount")))
