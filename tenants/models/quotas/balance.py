"""The use of quotas in their windows."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING
from uuid import UUID

from django.apps import apps
from django.db.models import F, Sum

from tenants.caller import SESSION
from tenants.quotas import windows

if TYPE_CHECKING:
    from django.db.models import Manager

    from tenants.models import Quota, QuotaCounter

_Windows = dict[tuple[datetime, datetime], tuple[int, int]]  # (used, reserved) by start and end


@dataclass(frozen=True, slots=True)
class Balance:
    """A quota's window: `used` by finished requests, `reserved` by those in progress.

    Of a quota per session it is the fullest `session`; None before the first.
    """

    limit: int
    raised: int
    used: int
    reserved: int
    starts: datetime
    ends: datetime
    session: UUID | None = None

    @property
    def of_session(self) -> bool:
        return self.starts == windows.ALL_TIME.starts

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

    It takes three queries at most, and one for each quota without a counter. After a change of the
    time zone a window of the old one may continue: the fuller window is returned.
    """
    raised = _raised([quota.id for quota in quotas], at)
    by_quota = _of_sessions([each for each in quotas if each.window == SESSION], raised)
    timed = [quota for quota in quotas if quota.id not in by_quota]
    bounds = {quota.id: windows.bounds(quota.window, at, time_zone) for quota in timed}
    counted = _counted(bounds, at)
    for quota in timed:
        present, more = bounds[quota.id], raised.get(quota.id, 0)
        by_window = counted.get(quota.id, {})
        if present not in by_window:
            by_window[present] = windows.ledger_sum(quota.id, *present)
        (starts, ends), (used, reserved) = max(
            by_window.items(), key=lambda window: (sum(window[1]), window[0] == present)
        )
        by_quota[quota.id] = Balance(quota.limit, more, used, reserved, starts, ends)
    return by_quota


def _of_sessions(quotas: Sequence[Quota], raised: dict[UUID, int]) -> dict[UUID, Balance]:
    """Returns the balance of the fullest session of each."""
    if not quotas:
        return {}
    rows = _counters().filter(quota__in=quotas, session__isnull=False)
    most = (F("used") + F("reserved")).desc()
    fullest = rows.order_by("quota_id", most).distinct("quota_id")
    by_quota = {row.quota_id: row for row in fullest}
    return {quota.id: _of_session(quota, raised, by_quota.get(quota.id)) for quota in quotas}


def _of_session(quota: Quota, raised: dict[UUID, int], row: QuotaCounter | None) -> Balance:
    limits = quota.limit, raised.get(quota.id, 0)
    if row is None:
        return Balance(*limits, 0, 0, *windows.ALL_TIME)
    return Balance(*limits, row.used, row.reserved, *windows.ALL_TIME, row.session)


def _counters() -> Manager[QuotaCounter]:
    return apps.get_model("tenants", "QuotaCounter")._default_manager


def _counted(ids: Iterable[UUID], at: datetime) -> dict[UUID, _Windows]:
    """Returns (used, reserved) by quota and window."""
    rows = _counters().filter(quota_id__in=ids, session=None, starts__lte=at, ends__gt=at)
    columns = ("quota_id", "starts", "ends", "used", "reserved")
    by_quota: dict[UUID, _Windows] = {}
    for quota_id, starts, ends, used, reserved in rows.values_list(*columns):
        by_quota.setdefault(quota_id, {})[starts, ends] = used, reserved
    return by_quota


def _raised(ids: list[UUID], at: datetime) -> dict[UUID, int]:
    rows = apps.get_model("tenants", "QuotaRaise")._default_manager
    holding = rows.filter(quota_id__in=ids, state="approved", expires_at__gt=at)
    return dict(holding.values_list("quota_id").annotate(total=Sum("amount")))
