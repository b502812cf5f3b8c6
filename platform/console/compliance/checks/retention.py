"""Checks of the trail's retention: never below the legal floor, and not for ever."""

from datetime import datetime
from typing import Any
from uuid import uuid4

from django.core.exceptions import ValidationError
from django.db import connection
from django.db.models import Min
from django.utils import timezone

from audit.models import Event, LegalHold, PrunedMonth, RetentionRule
from audit.retention import legal_hold, periods
from audit.retention.data_classes import AUDIT, FLOOR_DAYS
from console.compliance.check import CheckOutcome, outcome
from console.compliance.queries import is_refused, owned
from tenants.models import Tenant

LESS = FLOOR_DAYS - 1
MONTH_AND_SOME = 31 + 4  # days: months go whole, and the job runs at night


def floor(tenant: Tenant | None) -> CheckOutcome:
    someone = tenant or Tenant.objects.order_by("pk").first()
    answers = [_rule_refused(tenant), _act_refused(tenant)]
    if someone:
        answers.append(_column_refused(someone))
    days = Tenant.objects.filter(pk=tenant.pk) if tenant else Tenant.objects.all()
    figures: dict[str, Any] = {
        "floor_days": FLOOR_DAYS,
        "attempts": len(answers),
        "refused": sum(answers),
        "shortest_days": days.aggregate(least=Min("retention_days"))["least"],
    }
    shortest = figures["shortest_days"]
    below = shortest is not None and shortest < FLOOR_DAYS
    return outcome(figures, floor_gave_way=below or not all(answers))


def _rule_refused(tenant: Tenant | None) -> bool:
    tenant_id = tenant.pk if tenant else uuid4()
    RetentionRule.objects.filter(data_class=AUDIT, tenant_id=tenant_id).delete()
    rule = RetentionRule(tenant_id=tenant_id, data_class=AUDIT, days=LESS, changed_by="check")
    return is_refused(rule.save)


def _column_refused(tenant: Tenant) -> bool:
    return is_refused(lambda: Tenant.objects.filter(pk=tenant.pk).update(retention_days=LESS))


def _act_refused(tenant: Tenant | None) -> bool:
    try:
        periods.change(tenant.pk if tenant else uuid4(), AUDIT, LESS, by="check")
    except ValidationError:
        return True
    return False


def oldest_row(tenant: Tenant | None) -> CheckOutcome:
    events = owned(Event.objects.all(), tenant)
    oldest = events.order_by("at").values_list("at", flat=True).first()
    longest = _longest()
    figures: dict[str, Any] = {
        "oldest_at": oldest.isoformat() if oldest else None,
        "age_days": (timezone.now() - oldest).days if oldest else 0,
        "longest_days": longest,
        "months_dropped": PrunedMonth.objects.count(),
        "holds": legal_hold.holding().count(),
    }
    too_old = figures["age_days"] > longest + MONTH_AND_SOME
    if too_old and oldest:
        figures["kept_by"] = _kept_by(oldest, tenant)
    return outcome(figures, kept_too_long=too_old and not figures["kept_by"])


def _kept_by(oldest: datetime, tenant: Tenant | None) -> str:
    """Returns the hold of any tenant that keeps the month of the oldest event.

    The function opens every row for itself only: a tenant learns of its own holds and that there
    are others.
    """
    with connection.cursor() as cursor:
        cursor.execute("select audit_hold_over(date_trunc('month', %s, 'UTC')::date)", [oldest])
        (hold,) = cursor.fetchone()
    if hold and tenant and not LegalHold.objects.filter(tenant_id=tenant.id, pk=hold).exists():
        return "another tenant's"
    return str(hold or "")


def _longest() -> int:
    with connection.cursor() as cursor:
        cursor.execute("select audit_longest_retention()")
        return int(cursor.fetchone()[0])
