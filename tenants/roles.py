"""The permissions of each role, in one table. A view names a permission; a role has a set of them.

Under the security profile `mlps-l3` (GB/T 22239-2019, 8.1.5: system, audit and security
administration are separate) a role keeps, of the administrative permissions, only those of its own
duty. A person has one role in a tenant, so nobody has two duties there.
"""

from dataclasses import dataclass
from enum import StrEnum

from django.db import models
from django.utils.translation import gettext_lazy as _


class Role(models.TextChoices):
    OWNER = "owner", _("Owner")
    ADMIN = "admin", _("Administrator")
    DEVELOPER = "developer", _("Developer")
    AUDITOR = "auditor", _("Auditor")
    REVIEWER = "reviewer", _("Reviewer")
    AGENT = "agent", _("Agent")
    MEMBER = "member", _("Member")


class Profile(models.TextChoices):
    """A named set of security rules, such as password rules and separation of duties."""

    ASVS = "asvs-5", "OWASP ASVS 5.0"
    MLPS = "mlps-l3", _("MLPS 2.0 level 3")


class Permission(StrEnum):
    CHAT = "chat"
    USE_PLAYGROUND = "playground:use"
    VIEW_USAGE = "usage:view"
    VIEW_REQUESTS = "requests:view"
    VIEW_LIMITS = "limits:view"
    VIEW_KEYS = "api_keys:view"
    MANAGE_KEYS = "api_keys:manage"
    VIEW_MEMBERS = "members:view"
    MANAGE_MEMBERS = "members:manage"
    VIEW_TEAMS = "teams:view"
    MANAGE_TEAMS = "teams:manage"
    VIEW_MODELS = "models:view"
    MANAGE_MODELS = "models:manage"
    VIEW_TEMPLATES = "templates:view"
    MANAGE_TEMPLATES = "templates:manage"
    VIEW_ADAPTERS = "adapters:view"
    MANAGE_ADAPTERS = "adapters:manage"
    VIEW_EVALUATIONS = "evaluations:view"
    MANAGE_EVALUATIONS = "evaluations:manage"
    VIEW_DATA_SETS = "data_sets:view"
    MANAGE_DATA_SETS = "data_sets:manage"
    VIEW_ACTIONS = "actions:view"
    MANAGE_ACTIONS = "actions:manage"
    ANSWER_DIALOGUES = "dialogues:answer"
    MANAGE_NOTICES = "notices:manage"
    VIEW_POLICIES = "policies:view"
    MANAGE_POLICIES = "policies:manage"
    APPROVE_POLICIES = "policies:approve"
    VIEW_KNOWLEDGE = "knowledge:view"
    MANAGE_KNOWLEDGE = "knowledge:manage"
    VIEW_DECISIONS = "decisions:view"
    REVIEW_DECISIONS = "decisions:review"
    VIEW_PEOPLE = "people:view"
    VIEW_ASSISTANTS = "assistants:view"
    MANAGE_ASSISTANTS = "assistants:manage"
    APPROVE_ASSISTANTS = "assistants:approve"
    MANAGE_QUOTAS = "quotas:manage"
    APPROVE_RAISES = "raises:approve"
    MANAGE_SECURITY = "security:manage"
    VIEW_AUDIT = "audit:view"
    EXPORT_AUDIT = "audit:export"
    VIEW_PROMPTS = "prompts:view"
    VIEW_COMPLIANCE = "compliance:view"
    MANAGE_RETENTION = "retention:manage"
    MANAGE_HOLDS = "holds:manage"
    MANAGE_DELETIONS = "deletions:manage"


class Duty(models.TextChoices):
    """三权分立: the three administrations that one person must not combine."""

    SYSTEM = "system", _("System administration")
    SECURITY = "security", _("Security administration")
    AUDIT = "audit", _("Audit administration")


P = Permission
_SEES = frozenset({P.VIEW_USAGE, P.VIEW_REQUESTS, P.VIEW_LIMITS, P.VIEW_KEYS, P.VIEW_MEMBERS})
SEES_ALL = _SEES | {
    P.VIEW_TEAMS,
    P.VIEW_MODELS,
    P.VIEW_TEMPLATES,
    P.VIEW_ADAPTERS,
    P.VIEW_EVALUATIONS,
    P.VIEW_DATA_SETS,
    P.VIEW_ACTIONS,
    P.VIEW_POLICIES,
    P.VIEW_KNOWLEDGE,
    P.VIEW_DECISIONS,
    P.VIEW_ASSISTANTS,
}
_MAKES = {
    P.MANAGE_KEYS,
    P.MANAGE_MODELS,
    P.MANAGE_TEMPLATES,
    P.MANAGE_ADAPTERS,
    P.MANAGE_EVALUATIONS,
    P.MANAGE_DATA_SETS,
    P.MANAGE_ACTIONS,
    P.MANAGE_POLICIES,
    P.MANAGE_KNOWLEDGE,
    P.MANAGE_ASSISTANTS,
}
_PROOF = {P.VIEW_AUDIT, P.EXPORT_AUDIT, P.VIEW_PROMPTS, P.VIEW_COMPLIANCE, P.MANAGE_HOLDS}
_PROOF |= {P.VIEW_PEOPLE}
# What people wrote, and what was written of them.
_TEXTS = {P.VIEW_PROMPTS, P.ANSWER_DIALOGUES, P.REVIEW_DECISIONS}
PERMISSIONS: dict[Role, frozenset[Permission]] = {
    Role.OWNER: frozenset(P),
    Role.ADMIN: frozenset(P) - _TEXTS - {P.MANAGE_SECURITY, P.MANAGE_RETENTION},
    Role.DEVELOPER: SEES_ALL | _MAKES | {P.CHAT, P.USE_PLAYGROUND},
    Role.AUDITOR: SEES_ALL | _PROOF,
    Role.REVIEWER: frozenset({P.VIEW_DECISIONS, P.REVIEW_DECISIONS, P.VIEW_PEOPLE}),
    Role.AGENT: frozenset({P.ANSWER_DIALOGUES}),
    Role.MEMBER: frozenset({P.CHAT}),
}
DUTIES: dict[Permission, Duty] = {
    P.MANAGE_KEYS: Duty.SYSTEM,
    P.MANAGE_TEAMS: Duty.SYSTEM,
    P.MANAGE_MODELS: Duty.SYSTEM,
    P.MANAGE_TEMPLATES: Duty.SYSTEM,
    P.MANAGE_ADAPTERS: Duty.SYSTEM,
    P.MANAGE_EVALUATIONS: Duty.SYSTEM,
    P.MANAGE_DATA_SETS: Duty.SYSTEM,
    P.MANAGE_ACTIONS: Duty.SYSTEM,
    P.MANAGE_NOTICES: Duty.SYSTEM,
    P.MANAGE_POLICIES: Duty.SYSTEM,
    P.MANAGE_KNOWLEDGE: Duty.SYSTEM,
    P.MANAGE_ASSISTANTS: Duty.SYSTEM,
    P.MANAGE_QUOTAS: Duty.SYSTEM,
    P.MANAGE_MEMBERS: Duty.SECURITY,
    P.APPROVE_RAISES: Duty.SECURITY,
    P.APPROVE_POLICIES: Duty.SECURITY,
    P.APPROVE_ASSISTANTS: Duty.SECURITY,
    P.MANAGE_SECURITY: Duty.SECURITY,
    P.MANAGE_RETENTION: Duty.SECURITY,
    P.MANAGE_DELETIONS: Duty.SECURITY,
    P.VIEW_AUDIT: Duty.AUDIT,
    P.EXPORT_AUDIT: Duty.AUDIT,
    P.VIEW_PROMPTS: Duty.AUDIT,
    P.MANAGE_HOLDS: Duty.AUDIT,
}
DUTY_OF: dict[Role, Duty | None] = {
    Role.OWNER: Duty.SECURITY,
    Role.ADMIN: Duty.SYSTEM,
    Role.DEVELOPER: Duty.SYSTEM,
    Role.AUDITOR: Duty.AUDIT,
    Role.REVIEWER: None,
    Role.AGENT: None,
    Role.MEMBER: None,
}
# The permissions of a platform operator inside a tenant. Operators are no members: they do not chat
# there, may not read the tenant's texts, and under separation of duties have the system's only.
_WRITES = {
    P.CHAT,
    P.USE_PLAYGROUND,
    *_TEXTS,
    P.MANAGE_ACTIONS,
    P.MANAGE_MODELS,
    P.VIEW_TEMPLATES,
    P.MANAGE_TEMPLATES,
}
_WRITES |= {P.MANAGE_DATA_SETS, P.MANAGE_NOTICES}
_WRITES |= {P.VIEW_POLICIES, P.MANAGE_POLICIES, P.APPROVE_POLICIES}
_WRITES |= {P.VIEW_KNOWLEDGE, P.MANAGE_KNOWLEDGE}
_WRITES |= {P.VIEW_ASSISTANTS, P.MANAGE_ASSISTANTS, P.APPROVE_ASSISTANTS}
_EVALUATES = {P.VIEW_EVALUATIONS, P.MANAGE_EVALUATIONS}
OPERATOR: frozenset[Permission] = frozenset(P) - _WRITES - _EVALUATES


def permissions(role: str, profile: str) -> frozenset[Permission]:
    granted = PERMISSIONS[Role(role)]
    if profile != Profile.MLPS:
        return granted
    return frozenset(p for p in granted if DUTIES.get(p) in (None, DUTY_OF[Role(role)]))


def operator_permissions(profile: str) -> frozenset[Permission]:
    if profile != Profile.MLPS:
        return OPERATOR
    return frozenset(p for p in OPERATOR if DUTIES.get(p) in (None, Duty.SYSTEM))


def may(role: str, permission: Permission, profile: str = Profile.ASVS) -> bool:
    return permission in permissions(role, profile)


def readers(profile: str) -> list[Role]:
    """Returns the roles that may read, for an audit, other members' prompts and answers."""
    return [role for role in Role if may(role, Permission.VIEW_PROMPTS, profile)]


@dataclass(frozen=True)
class MatrixRow:
    """A permission with one answer for each of HOLDERS, in their order."""

    permission: Permission
    duty: Duty | None
    held: tuple[bool, ...]


HOLDERS = (*Role, "operator")


def matrix(profile: str = Profile.ASVS) -> list[MatrixRow]:
    """Returns the whole table under a security profile, as the code applies it."""
    columns = [permissions(role, profile) for role in Role] + [operator_permissions(profile)]
    return [
        MatrixRow(
            permission, DUTIES.get(permission), tuple(permission in column for column in columns)
        )
        for permission in Permission
    ]
