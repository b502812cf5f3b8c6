"""The membership of a chat: one of a person's, with a role that may chat."""

from uuid import UUID

from django.db.models import QuerySet

from tenants.models import Member, User
from tenants.models.tenant import State
from tenants.roles import PERMISSIONS, Permission

CHATTING = [role for role, permissions in PERMISSIONS.items() if Permission.CHAT in permissions]


def memberships(user: User) -> QuerySet[Member]:
    """Returns the memberships with which this person may chat now."""
    return _chatting(user).filter(tenant__state=State.ACTIVE).order_by("tenant__name")


def membership(user: User, tenant: str) -> Member | None:
    """Returns the one in the tenant of that name; for "" the first."""
    candidates = memberships(user)
    if "\0" in tenant:
        return None
    return (candidates.filter(tenant__name=tenant) if tenant else candidates).first()


def is_valid(member_id: UUID, user: User) -> bool:
    """Returns whether it may chat. The tenant's state is left to authentication."""
    return _chatting(user).filter(pk=member_id).exists()


def _chatting(user: User) -> QuerySet[Member]:
    return Member.objects.of(user).filter(role__in=CHATTING, user__is_active=True)
