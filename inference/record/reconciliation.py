"""Compares ledger, usage and counters of each day, every night.

A tenant's day is compared once it is over, in one snapshot. Open requests are on neither side. A
difference is recorded and logged as an error.
"""

import logging
from collections.abc import Iterable
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from django.db import connection, transaction
from django.utils import timezone

from audit.actions import Action
from audit.models import Event
from audit.trail.record import act
from inference import request_id
from tenants.models import Reconciliation, Tenant
from tenants.quotas import windows

SESSION_IDLE = timedelta(days=30)  # then its counters are deleted
log = logging.getLogger(__name__)
_SUMS = """
    with entries as (
        select coalesce(sum(requests), 0) as requests, coalesce(sum(tokens), 0) as tokens,
               coalesce(sum(cost), 0) as cost, coalesce(sum(gpu_ms), 0) as gpu_ms
        from tenants_ledgerentry where tenant_id = %(tenant)s and kind <> 'reserve'
            and counts_at >= %(starts)s and counts_at < %(ends)s),
    used as (
        select count(*) filter (where status = 200 or u.prompt_tokens + u.completion_tokens > 0
                                or u.gpu_ms > 0) as requests,
               coalesce(sum(u.prompt_tokens + u.completion_tokens), 0) as tokens,
               coalesce(sum(u.cost), 0) as cost, coalesce(sum(u.gpu_ms), 0) as gpu_ms
        from inference_completion c join inference_usage u on u.completion_id = c.id
        where c.tenant_id = %(tenant)s and c.id >= %(first)s and c.id < %(last)s
            and c.created_at >= %(starts)s and c.created_at < %(ends)s),
    off as (
        select count(*) as counters
        from tenants_quotacounter c cross join lateral (
            select * from tenants_ledger_sum(c.quota_id, c.starts, c.ends) where c.session is null
            union all
            select * from tenants_session_sum(c.quota_id, c.session) where c.session is not null) s
        where c.tenant_id = %(tenant)s and c.starts < %(ends)s and c.ends > %(starts)s
            and (c.session is null or exists (
                select from tenants_ledgerentry e
                where e.tenant_id = c.tenant_id and e.session = c.session
                    and e.counts_at >= %(starts)s and e.counts_at < %(ends)s))
            and (s.used, s.reserved) is distinct from (c.used, c.reserved))
    select entries.requests, used.requests, entries.tokens, used.tokens, entries.cost, used.cost,
           entries.gpu_ms, used.gpu_ms, off.counters
    from entries, used, off"""
_FIELDS = (
    "requests_ledger",
    "requests_usage",
    "tokens_ledger",
    "tokens_usage",
    "cost_ledger",
    "cost_usage",
    "gpu_ms_ledger",
    "gpu_ms_usage",
    "counters_off",
)


def reconcile_due(now: datetime | None = None) -> list[Reconciliation]:
    """Compare every tenant's latest full day, unless that is done."""
    now = now or timezone.now()
    yesterdays = {tenant: _yesterday(tenant, now) for tenant in Tenant.objects.all()}
    recent = Reconciliation.objects.filter(day__in=set(yesterdays.values()))
    compared = set(recent.values_list("tenant_id", "day"))
    missing = [(each, day) for each, day in yesterdays.items() if (each.id, day) not in compared]
    return [reconcile(tenant, day) for tenant, day in missing]


def reconcile_day(day: date, tenants: Iterable[Tenant]) -> list[Reconciliation]:
    return [reconcile(tenant, day) for tenant in tenants]


def reconcile(tenant: Tenant, day: date) -> Reconciliation:
    """Compare a day of the tenant's calendar (again), and forget idle sessions."""
    with transaction.atomic():
        sums = dict(zip(_FIELDS, _sums(tenant, day), strict=True))
        reconciliation, _ = Reconciliation.objects.update_or_create(
            tenant=tenant, day=day, defaults={**sums, "ran_at": timezone.now()}
        )
        if reconciliation.difference:
            _report(reconciliation, sums)
    windows.forget_sessions(tenant.id, timezone.now() - SESSION_IDLE)
    return reconciliation


def overruns(reconciliations: Iterable[Reconciliation]) -> int:
    """Returns how many answers exceeded their reservation, since the first of these days."""
    first = min((each.day for each in reconciliations), default=None)
    if first is None:
        return 0
    since = datetime.combine(first, time.min, UTC) - timedelta(days=1)  # in any time zone
    return Event.objects.filter(action=Action.QUOTA_OVERRUN, at__gte=since).count()


def _yesterday(tenant: Tenant, now: datetime) -> date:
    return now.astimezone(ZoneInfo(tenant.time_zone)).date() - timedelta(days=1)


def _sums(tenant: Tenant, day: date) -> tuple[Any, ...]:
    starts, ends = windows.day_bounds(day, tenant.time_zone)
    first, last = request_id.bounds(starts, ends)
    of_tenant: dict[str, Any] = {"tenant": tenant.id, "starts": starts, "ends": ends}
    with connection.cursor() as cursor:
        cursor.execute(_SUMS, {**of_tenant, "first": first, "last": last})
        row: tuple[Any, ...] = cursor.fetchone()
    return tuple(map(int, row))


def _report(reconciliation: Reconciliation, sums: dict[str, int]) -> None:
    log.error(
        "%s, tenant %s: ledger and usage differ: %s",
        reconciliation.day,
        reconciliation.tenant_id,
        sums,
    )
    detail = {"day": reconciliation.day.isoformat(), **sums}
    act(
        Action.QUOTA_DIFFERENCE,
        actor="platform",
        tenant_id=reconciliation.tenant_id,
        success=False,
        detail=detail,
    )
