"""The quotas that bind a person's chat: what is left, when they renew, and requests for more."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal, DecimalException
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import Q, QuerySet
from django.shortcuts import get_object_or_404
from django.utils import timezone

from inference.chat.problems import ChatRefused, amount_text
from tenants.caller import SESSION
from tenants.models import Member, Quota, QuotaRaise
from tenants.models.quotas.balance import Balance, balances
from tenants.models.quotas.quota import MOST, Unit

MICRO = 1_000_000  # costs are counted in millionths of the currency


@dataclass(frozen=True, slots=True)
class Remaining:
    """A quota as the page shows it. `percent` is used or set aside."""

    id: UUID
    whose: str  # member, team, model or tenant
    model: str
    unit: str
    window: str
    remaining: str
    limit: str
    percent: int
    renews_at: datetime
    requested: bool  # the person's request for more waits


def remaining(member: Member, model: str) -> list[Remaining]:
    """Returns the quotas of the person, of the model and of the tenant, the fullest first."""
    rows = list(of_member(member, model))
    states = balances(rows, member.tenant.time_zone, timezone.now())
    waiting = QuotaRaise.objects.of(member.tenant).waiting().filter(requested_by=member.user_id)
    requested = set(waiting.values_list("quota_id", flat=True))
    shown = [_remaining(quota, states[quota.id], quota.id in requested) for quota in rows]
    return sorted(shown, key=lambda one: (-one.percent, str(one.id)))


def of_member(member: Member, model: str = "") -> QuerySet[Quota]:
    """Returns what binds the chat of the person; with `model` none of another model.

    A team's quota binds members of that team alone, whose requests count as the team's.
    """
    teams = list(member.team_memberships.values_list("team_id", flat=True)[:2])
    team = Q(team=teams[0]) | Q(team=None) if len(teams) == 1 else Q(team=None)
    own = Q(member=member) | Q(member=None)
    rows = Quota.objects.filter(own, team, tenant=member.tenant, api_key=None)
    rows = rows.exclude(window=SESSION)
    rows = rows.exclude(unit=Unit.GPU_SECONDS)  # of jobs
    return rows.filter(model__in=["", model]) if model else rows


def ask_for_more(member: Member, quota: Quota, amount: str, reason: str) -> QuotaRaise:
    """Request a raise until the quota renews. Raises ChatRefused, ValidationError."""
    count, ends = _count(amount, quota.unit), quota.balance().ends
    with transaction.atomic():
        _lock(member)
        waiting = QuotaRaise.objects.of(member.tenant).waiting().filter(quota=quota)
        if waiting.filter(requested_by=member.user_id).exists():
            raise ChatRefused("already_asked")
        fields: dict[str, Any] = {"user": member.user, "by": member.actor}
        return QuotaRaise.ask(quota, count, reason, ends, **fields)


def _lock(member: Member) -> None:
    """Let one request of a person through at a time: a double click sends two."""
    get_object_or_404(Member.objects.select_for_update(no_key=True), pk=member.pk)


def _count(amount: str, unit: str) -> int:
    """Raises ChatRefused. The size is checked first: 1e999999 as an int takes half a minute."""
    try:
        count = Decimal(amount.replace(",", "")) * (MICRO if unit == Unit.COST else 1)
    except (DecimalException, ValueError):
        raise ChatRefused("no_amount") from None
    if not count.is_finite() or abs(count) > MOST:
        raise ChatRefused("no_amount")
    return int(count.to_integral_value())


def _whose(quota: Quota) -> str:
    names = {"member": quota.member_id, "team": quota.team_id, "model": quota.model}
    return next((name for name, owner in names.items() if owner), "tenant")


def _remaining(quota: Quota, balance: Balance, requested: bool) -> Remaining:
    return Remaining(
        id=quota.id,
        whose=_whose(quota),
        model=quota.model,
        unit=quota.unit,
        window=quota.window,
        remaining=amount_text(balance.remaining, quota.unit),
        limit=amount_text(balance.allowed, quota.unit),
        percent=balance.percent,
        renews_at=balance.ends,
        requested=requested,
    )
