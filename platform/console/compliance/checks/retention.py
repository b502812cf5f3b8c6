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
from console.compliance.check import Check, Outcome, Problem
from console.compliance.queries import RefusedChange
from console.compliance.texts import Text
from tenants.models import Tenant

LESS = FLOOR_DAYS - 1
MONTH_AND_SOME = 31 + 4  # days: months go whole, and the job runs at night


def _floor(tenant: Tenant | None) -> Outcome:
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
    if not all(answers) or (shortest is not None and shortest < FLOOR_DAYS):
        return Outcome("floor_gave_way", figures)
    return Outcome("", figures)


def _rule_refused(tenant: Tenant | None) -> bool:
    tenant_id = tenant.pk if tenant else uuid4()
    RetentionRule.objects.filter(data_class=AUDIT, tenant_id=tenant_id).delete()
    with RefusedChange() as change:
        RetentionRule.objects.create(
            tenant_id=tenant_id, data_class=AUDIT, days=LESS, changed_by="check"
        )
    return change.refused


def _column_refused(tenant: Tenant) -> bool:
    with RefusedChange() as change:
        Tenant.objects.filter(pk=tenant.pk).update(retention_days=LESS)
    return change.refused


def _act_refused(tenant: Tenant | None) -> bool:
    try:
        periods.change(tenant.pk if tenant else uuid4(), AUDIT, LESS, by="check")
    except ValidationError:
        return True
    return False


def _oldest(tenant: Tenant | None) -> Outcome:
    events = Event.objects.of_tenant(tenant.id) if tenant else Event.objects.all()
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
    return Outcome("kept_too_long" if too_old and not figures["kept_by"] else "", figures)


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


CHECKS = (
    Check(
        "retention_floor",
        Text("Retention of the trail cannot be lowered", "审计保存期限不可调低"),
        Text(
            "Tries to set 183 days: by the act that pages and API use, in the table of rules and "
            "in the tenant's row. All must be refused; the attempt is rolled back.",
            "尝试将保存期限设为 183 天：分别通过页面与 API 所用的操作、规则表和租户行。"
            "三者都必须被拒绝；尝试随后回滚。",
        ),
        _floor,
        {
            "floor_gave_way": Problem(
                Text("Less than 184 days were accepted.", "系统接受了少于 184 天的期限。"),
                Text(
                    "Run `manage.py migrate`: it puts the floor back into the database. Look in "
                    "the audit trail for who changed retention.",
                    "运行 `manage.py migrate` 恢复数据库中的下限，"
                    "并在审计记录中查明谁修改过保存期限。",
                ),
            )
        },
    ),
    Check(
        "oldest_row",
        Text("Oldest row of the trail", "最早的审计记录"),
        Text(
            "Looks for the oldest event and compares its age with the longest retention in force.",
            "查找最早的事件，并将其时长与生效的最长保存期限比较。",
        ),
        _oldest,
        {
            "kept_too_long": Problem(
                Text(
                    "Events are older than retention allows, and no legal hold keeps them.",
                    "存在超过保存期限的事件，且没有法律保全要求保留它们。",
                ),
                Text(
                    "See whether Celery's nightly work runs, and whether sealing is behind: months "
                    "are dropped only when they are sealed.",
                    "请确认 Celery 夜间任务正常运行且封存没有滞后：月份只有在封存后才会删除。",
                ),
            )
        },
    ),
)
