"""Who may do what: one table. A view names a permission; a role holds some of them."""

from enum import StrEnum

from django.db import models
from django.utils.translation import gettext_lazy as _


class Role(models.TextChoices):
    OWNER = "owner", _("Owner")
    ADMIN = "admin", _("Administrator")
    DEVELOPER = "developer", _("Developer")
    AUDITOR = "auditor", _("Auditor")
    MEMBER = "member", _("Member")


class Permission(StrEnum):
    CHAT = "chat"
    VIEW_USAGE = "usage:view"
    VIEW_REQUESTS = "requests:view"
    VIEW_KEYS = "api_keys:view"
    MANAGE_KEYS = "api_keys:manage"
    VIEW_MEMBERS = "members:view"
    MANAGE_MEMBERS = "members:manage"
    VIEW_AUDIT = "audit:view"


P = Permission
PERMISSIONS: dict[Role, frozenset[Permission]] = {
    Role.OWNER: frozenset(P),
    Role.ADMIN: frozenset(P),
    Role.DEVELOPER: frozenset(
        {P.CHAT, P.VIEW_USAGE, P.VIEW_REQUESTS, P.VIEW_KEYS, P.MANAGE_KEYS, P.VIEW_MEMBERS}
    ),
    Role.AUDITOR: frozenset(
        {P.VIEW_USAGE, P.VIEW_REQUESTS, P.VIEW_KEYS, P.VIEW_MEMBERS, P.VIEW_AUDIT}
    ),
    Role.MEMBER: frozenset({P.CHAT}),
}


def may(role: str, permission: Permission) -> bool:
    return permission in PERMISSIONS[Role(role)]
