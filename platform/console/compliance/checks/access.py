"""Checks of access: what operators and readers do, and three duties kept apart (三权分立)."""

from collections import Counter
from typing import Any

from django.db.models import QuerySet

from audit.actions import Action
from console.compliance.check import CheckOutcome, outcome
from console.compliance.queries import DAYS, acts, owned
from tenants.models import Member, Tenant
from tenants.roles import (
    DUTIES,
    HOLDERS,
    Duty,
    Permission,
    Profile,
    Role,
    matrix,
    operator_permissions,
    permissions,
)


def operator_access(tenant: Tenant | None) -> CheckOutcome:
    return _counts(
        tenant, operator_looks=Action.OPERATOR_ACCESS, access_denied=Action.ACCESS_DENIED
    )


def text_access(tenant: Tenant | None) -> CheckOutcome:
    return _counts(
        tenant,
        prompts_read=Action.PROMPT_VIEW,
        text_searches=Action.AUDIT_SEARCH,
        trail_exports=Action.AUDIT_EXPORT,
        person_exports=Action.SUBJECT_EXPORT,
    )


def _counts(tenant: Tenant | None, **actions: Action) -> CheckOutcome:
    counts = acts(tenant)
    figures = {name: counts[action] for name, action in actions.items()}
    return outcome({"days": DAYS, **figures})


def administration(tenant: Tenant | None) -> CheckOutcome:
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
    return outcome(figures)


def duties(tenant: Tenant | None) -> CheckOutcome:
    under_mlps = Member.objects.filter(tenant__profile=Profile.MLPS).select_related("user")
    members = owned(under_mlps, tenant)
    per_duty = Counter(duty for member in members for duty in _held_by(member))
    figures: dict[str, Any] = {f"holders_{duty}": per_duty[duty] for duty in Duty}
    figures["people"] = len(members)
    figures["two_duties"] = sum(len(_held_by(member)) > 1 for member in members)
    figures["operators_inside"] = sum(member.user.is_operator for member in members)
    return outcome(
        figures,
        united=figures["two_duties"] or _has_two_roles(members),
        operator_inside=figures["operators_inside"],
        unheld=tenant and members and len(per_duty) < len(Duty),
    )


def role_matrix(_tenant: Tenant | None) -> CheckOutcome:
    roles: dict[str, frozenset[Permission]] = {
        role: permissions(role, Profile.MLPS) for role in Role
    }
    roles["operator"] = operator_permissions(Profile.MLPS)
    table: dict[str, list[str]] = {holder: [] for holder in HOLDERS}
    for row in matrix(Profile.MLPS):
        for holder, holds in zip(HOLDERS, row.held, strict=True):
            if holds:
                table[holder].append(row.permission)
    figures = {"roles": len(HOLDERS), "permissions": len(Permission), "table": table}
    return outcome(figures, united=any(len(_duties(holds)) > 1 for holds in roles.values()))


def _held_by(member: Member) -> set[Duty]:
    return _duties(permissions(member.role, Profile.MLPS))


def _duties(granted: frozenset[Permission]) -> set[Duty]:
    return {DUTIES[permission] for permission in granted if permission in DUTIES}


def _has_two_roles(members: QuerySet[Member]) -> bool:
    """Returns whether a person has two roles in a tenant, which a constraint forbids."""
    counts = Counter((member.tenant_id, member.user_id) for member in members)
    return any(number > 1 for number in counts.values())
