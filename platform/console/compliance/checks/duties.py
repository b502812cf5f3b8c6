"""Checks that no person holds two of system, security and audit administration (三权分立)."""

from collections import Counter
from typing import Any

from django.db.models import QuerySet

from console.compliance.check import Check, Outcome, Problem, Reach
from console.compliance.texts import Text
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


def _duties(granted: frozenset[Permission]) -> set[Duty]:
    return {DUTIES[permission] for permission in granted if permission in DUTIES}


def _separation(tenant: Tenant | None) -> Outcome:
    members = Member.objects.filter(tenant__profile=Profile.MLPS).select_related("user")
    if tenant:
        members = members.filter(tenant=tenant)
    per_duty = Counter(duty for member in members for duty in _held_by(member))
    figures: dict[str, Any] = {f"holders_{duty}": per_duty[duty] for duty in Duty}
    figures["people"] = len(members)
    figures["two_duties"] = sum(len(_held_by(member)) > 1 for member in members)
    figures["operators_inside"] = sum(member.user.is_operator for member in members)
    if figures["two_duties"] or _has_two_roles(members):
        return Outcome("united", figures)
    if figures["operators_inside"]:
        return Outcome("operator_inside", figures)
    return Outcome("unheld" if tenant and members and len(per_duty) < len(Duty) else "", figures)


def _held_by(member: Member) -> set[Duty]:
    return _duties(permissions(member.role, Profile.MLPS))


def _has_two_roles(members: QuerySet[Member]) -> bool:
    """Returns whether a person has two roles in a tenant, which a constraint forbids."""
    counts = Counter((member.tenant_id, member.user_id) for member in members)
    return any(number > 1 for number in counts.values())


def _matrix(_tenant: Tenant | None) -> Outcome:
    roles: dict[str, frozenset[Permission]] = {
        role: permissions(role, Profile.MLPS) for role in Role
    }
    roles["operator"] = operator_permissions(Profile.MLPS)
    table = {holder: [] for holder in HOLDERS}  # type: dict[str, list[str]]
    for row in matrix(Profile.MLPS):
        for holder, holds in zip(HOLDERS, row.held, strict=True):
            if holds:
                table[holder].append(row.permission)
    united = [name for name, holds in roles.items() if len(_duties(holds)) > 1]
    figures = {"roles": len(HOLDERS), "permissions": len(Permission), "table": table}
    return Outcome("united" if united else "", figures)


UNITED = Problem(
    Text(
        "Somebody holds two of the three administrations.",
        "有人同时拥有三类管理权限中的两类。",
    ),
    Text(
        "Give each of them to another person (Members).",
        "请将三类管理权限分配给不同人员（成员页）。",
    ),
)
CHECKS = (
    Check(
        "duties",
        Text("Separation of the three administrations", "三权分立"),
        Text(
            "Goes through the members of every tenant under mlps-l3: which of the three duties "
            "each one holds, and whether an operator of the platform is among them.",
            "逐一检查 mlps-l3 租户的成员：各自拥有三类管理职责中的哪些，"
            "以及其中是否有平台运维人员。",
        ),
        _separation,
        {
            "united": UNITED,
            "operator_inside": Problem(
                Text(
                    "An operator of the platform is a member of a tenant under mlps-l3.",
                    "平台运维人员是 mlps-l3 租户的成员。",
                ),
                Text("Remove them there (Members).", "请将其从该租户移除（成员页）。"),
            ),
            "unheld": Problem(
                Text(
                    "One of the three administrations has nobody in this tenant.",
                    "本租户的三类管理职责中有一类无人担任。",
                ),
                Text(
                    "Invite an auditor, an administrator or an owner, whichever is missing.",
                    "请邀请缺少的审计员、管理员或所有者。",
                ),
            ),
        },
    ),
    Check(
        "role_matrix",
        Text("Table of roles and permissions", "角色权限矩阵"),
        Text(
            "Computes, as the running code goes by it, what each role may do under mlps-l3.",
            "按运行中的代码计算 mlps-l3 下各角色的权限。",
        ),
        _matrix,
        {"united": UNITED},
        Reach.GENERAL,
    ),
)
