"""Checks that the trail is append-only: the database must not change an event once written."""

from django.utils import timezone

from audit.actions import Action
from audit.checks import self_check
from audit.models import Event
from audit.trail.record import act
from console.compliance.check import Check, Outcome, Problem, Reach
from console.compliance.queries import RefusedChange
from console.compliance.texts import Text
from tenants.models import Tenant
from tenants.scope import system_scope


def _attempts(_tenant: Tenant | None) -> Outcome:
    """Write an event and try to change it. Everything is rolled back, the event too."""
    with system_scope():
        began = timezone.now()
        act(Action.AUDIT_VERIFY, actor="check")
        events = Event.objects.filter(at__gte=began, actor="check")
        answers = [_is_refused(lambda: events.update(success=False)), _is_refused(events.delete)]
    figures = {"attempts": len(answers), "refused": sum(answers)}
    return Outcome("" if all(answers) else "changeable", figures)


def _is_refused(change: object) -> bool:
    assert callable(change)
    with RefusedChange() as attempt:
        change()
    return attempt.refused


def _catalogue(_tenant: Tenant | None) -> Outcome:
    with system_scope():
        problems = self_check.problems()
    figures = {"gaps": len(problems)}
    return (
        Outcome("drift", {**figures, "found": problems[:20]}) if problems else Outcome("", figures)
    )


REMEDY = Text(
    "Run `manage.py migrate`: it puts triggers and functions back. Then find out who took them "
    "away: PostgreSQL's log has it.",
    "运行 `manage.py migrate` 恢复触发器与函数，并在 PostgreSQL 日志中查明是谁将其移除。",
)
CHECKS = (
    Check(
        "append_only",
        Text("The trail can only be added to", "审计记录只可追加"),
        Text(
            "Writes an event, then tries to change and to delete it, as the application's own "
            "database role. Both must be refused; all of it is rolled back.",
            "以应用的数据库角色写入一条事件，然后尝试修改与删除；二者都必须被拒绝，随后全部回滚。",
        ),
        _attempts,
        {
            "changeable": Problem(
                Text("The database let an event be changed.", "数据库允许修改审计事件。"),
                REMEDY,
            )
        },
        Reach.GENERAL,
    ),
    Check(
        "protections",
        Text("Protections of the trail's tables", "审计表的保护措施"),
        Text(
            "Compares triggers, rights and functions on every monthly partition with what they "
            "should be.",
            "将每个月度分区上的触发器、权限与函数与应有状态比对。",
        ),
        _catalogue,
        {
            "drift": Problem(
                Text(
                    "Protections in the database are not as they should be.",
                    "数据库中的保护措施与应有状态不符。",
                ),
                REMEDY,
            )
        },
        Reach.GENERAL,
    ),
)
