"""Checks of access: operators' visits and read texts, and that every request is on record."""

from datetime import timedelta

from django.db import connection
from django.utils import timezone

from audit.actions import Action
from console.compliance.check import Check, Outcome, Problem
from console.compliance.queries import DAYS, acts
from console.compliance.texts import Text
from tenants.models import Tenant

HOURS, MOST = 24, 20_000
_RECORDED = f"""
    select count(*),
           count(*) filter (where not exists (
               select from audit_event e where e.request_id = c.id
               and e.action = '{Action.COMPLETION_RECEIVED}' and e.at >= %(from)s)),
           count(*) filter (where not exists (
               select from audit_event e where e.request_id = c.id
               and e.action = '{Action.COMPLETION_COMPLETED}' and e.at >= %(from)s))
    from (select id from inference_completion
          where state <> 'open' and created_at >= %(since)s and created_at < %(until)s
            and (%(tenant)s::uuid is null or tenant_id = %(tenant)s::uuid)
          order by created_at desc limit {MOST}) c"""


def _recorded(tenant: Tenant | None) -> Outcome:
    now = timezone.now()
    values = {
        "since": now - timedelta(hours=HOURS),
        "from": now - timedelta(hours=HOURS + 1),
        "until": now - timedelta(minutes=1),
        "tenant": tenant.id if tenant else None,
    }
    with connection.cursor() as cursor:
        cursor.execute(_RECORDED, values)
        looked_at, no_received, no_completed = cursor.fetchone()
    figures = {
        "requests": looked_at,
        "without_received": no_received,
        "without_completed": no_completed,
    }
    return Outcome("unrecorded" if no_received or no_completed else "", figures)


def _operators(tenant: Tenant | None) -> Outcome:
    counts = acts(tenant)
    figures = {
        "days": DAYS,
        "operator_looks": counts[Action.OPERATOR_ACCESS],
        "access_denied": counts[Action.ACCESS_DENIED],
    }
    return Outcome("", figures)


def _texts(tenant: Tenant | None) -> Outcome:
    counts = acts(tenant)
    figures = {
        "days": DAYS,
        "prompts_read": counts[Action.PROMPT_VIEW],
        "text_searches": counts[Action.AUDIT_SEARCH],
        "trail_exports": counts[Action.AUDIT_EXPORT],
        "person_exports": counts[Action.SUBJECT_EXPORT],
    }
    return Outcome("", figures)


def _administration(tenant: Tenant | None) -> Outcome:
    counts = acts(tenant)
    security = (Action.MEMBER_ROLE, Action.TENANT_CHANGE, Action.RETENTION_CHANGE)
    system = ("api_key:", "team:", "quota:", "model:")
    proof = (Action.AUDIT_EXPORT, Action.AUDIT_SEARCH, Action.AUDIT_VERIFY)
    figures = {
        "days": DAYS,
        "system_acts": sum(n for word, n in counts.items() if word.startswith(system)),
        "security_acts": sum(counts[word] for word in security),
        "audit_acts": sum(counts[word] for word in proof),
        "acts": counts.total(),
    }
    return Outcome("", figures)


CHECKS = (
    Check(
        "recorded",
        Text("Every request is on record, twice", "每个请求均有两条审计记录"),
        Text(
            "Takes the requests that ended in the last 24 hours and looks for the event of their "
            "arrival and that of their end.",
            "取近 24 小时内结束的请求，逐一查找其接收事件与完成事件。",
        ),
        _recorded,
        {
            "unrecorded": Problem(
                Text("Requests without their events.", "存在缺少审计事件的请求。"),
                Text(
                    "Verify the trail (`manage.py audit_verify`): something was taken away, or "
                    "rows came into the database past the platform.",
                    "请校验审计记录（`manage.py audit_verify`）：记录可能被移除，"
                    "或有数据绕过平台写入。",
                ),
            )
        },
        over="requests",
    ),
    Check(
        "operator_access",
        Text("Looks of the platform's operators", "平台运维人员的访问"),
        Text(
            "Counts how often an operator looked into a tenant, and how often somebody was "
            "refused, in the last 90 days. Each one is in the tenant's own audit trail.",
            "统计近 90 天运维人员进入租户的次数与访问被拒的次数；每次均记入该租户的审计记录。",
        ),
        _operators,
        {},
    ),
    Check(
        "text_access",
        Text("Who read texts", "对文本内容的读取"),
        Text(
            "Counts how often texts of requests were read, searched or exported in the last 90 "
            "days.",
            "统计近 90 天请求文本被读取、检索与导出的次数。",
        ),
        _texts,
        {},
    ),
    Check(
        "administration",
        Text("Acts of administration on record", "管理操作记录"),
        Text(
            "Counts the acts of system, security and audit administration of the last 90 days.",
            "统计近 90 天系统管理、安全管理与审计管理操作的次数。",
        ),
        _administration,
        {},
    ),
)
