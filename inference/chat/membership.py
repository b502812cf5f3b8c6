"""Whose chat it is: one membership of a person, with a role that may chat."""

from uuid import UUID

from django.db.models import QuerySet

from tenants.models import Member, User
from tenants.models.tenant import State
from tenants.roles import PERMISSIONS, Permission

CHATTING = [role for role, permissions in PERMISSIONS.items() if Permission.CHAT in permissions]


def memberships(user: User) -> QuerySet[Member]:
    """Where this person may chat now."""
    return _chatting(user).filter(tenant__state=State.ACTIVE).order_by("tenant__name")


def membership(user: User, tenant: str) -> Member | None:
    """In the tenant of that name; in the first one for ""."""
    found = memberships(user)
    if "\0" in tenant:
        return None
    return (found.filter(tenant__name=tenant) if tenant else found).first()


def still_stands(member_id: UUID, user: User) -> bool:
    """Whatever has become of the tenant: authentication tells that."""
    return _chatting(user).filter(pk=member_id).exists()


def _chatting(user: User) -> QuerySet[Member]:
    return Member.objects.of(user).filter(role__in=CHATTING, user__is_active=True)
