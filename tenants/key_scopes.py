"""The scopes of API keys, and the permissions that each of them holds."""

from django.db import models
from django.utils.translation import gettext_lazy as _

from tenants.roles import DUTIES, SEES_ALL, Duty, Profile, Role
from tenants.roles import Permission as P


class Scope(models.TextChoices):
    """The uses that a key may have."""

    INFERENCE = "inference", _("Inference")
    BATCH = "batch", _("Batches")
    MANAGEMENT_READ = "management:read", _("Management: read")
    MANAGEMENT_WRITE = "management:write", _("Management: write")
    AUDIT_READ = "audit:read", _("Audit: read")


SCOPES: dict[Scope, frozenset[P]] = {
    Scope.INFERENCE: frozenset(),
    Scope.BATCH: frozenset(),
    Scope.MANAGEMENT_READ: SEES_ALL,
    Scope.MANAGEMENT_WRITE: frozenset(
        {
            P.MANAGE_KEYS,
            P.MANAGE_TEAMS,
            P.MANAGE_QUOTAS,
            P.MANAGE_MEMBERS,
            P.MANAGE_TEMPLATES,
            P.MANAGE_MODELS,
            P.MANAGE_ADAPTERS,
            P.MANAGE_EVALUATIONS,
            P.MANAGE_DATA_SETS,
            P.VIEW_PEOPLE,
            P.MANAGE_ACTIONS,
            P.MANAGE_NOTICES,
            P.MANAGE_POLICIES,
            P.MANAGE_KNOWLEDGE,
            P.MANAGE_ASSISTANTS,
        }
    ),
    Scope.AUDIT_READ: frozenset({P.VIEW_AUDIT, P.EXPORT_AUDIT}),
}
# Keys never have CHAT and USE_PLAYGROUND, which are for people; APPROVE_RAISES, APPROVE_POLICIES
# and APPROVE_ASSISTANTS, which need a second person; MANAGE_SECURITY, which needs an owner;
# MANAGE_RETENTION and MANAGE_HOLDS, which people decide.

ROLES_OF_KEYS = (Role.DEVELOPER, Role.MEMBER)  # roles that a key may remove; it can assign none


def key_permissions(scopes: list[str], profile: str) -> frozenset[P]:
    """Returns a key's permissions; separation of duties leaves it the system's or the audit's."""
    granted = frozenset[P]().union(*(SCOPES[Scope(scope)] for scope in scopes))
    if profile != Profile.MLPS:
        return granted
    duty = Duty.SYSTEM if Scope.MANAGEMENT_WRITE in scopes else Duty.AUDIT
    return frozenset(p for p in granted if DUTIES.get(p) in (None, duty))
