"""What a person did with their own account, on record where those can find it who must."""

from collections.abc import Iterator
from typing import Any
from uuid import UUID

from audit.actions import Action
from audit.record import act
from tenants.models.member import Member
from tenants.models.user import User
from tenants.scope import system_scope


def record(
    action: Action,
    user: User | None,
    *,
    by: str = "",
    success: bool = True,
    client_net: str | None = None,
    detail: dict[str, Any] | None = None,
) -> None:
    """`by`: an actor, where it is not the person themselves."""
    with system_scope():
        for actor, tenant_id, subject_id in _concerned(user):
            act(
                action,
                actor=by or actor,
                tenant_id=tenant_id,
                subject_id=subject_id,
                success=success,
                client_net=client_net,
                detail=detail,
            )


def _concerned(user: User | None) -> Iterator[tuple[str, UUID | None, UUID | None]]:
    """A member's tenants each get their own event; operators and strangers the platform's."""
    if user is None:
        yield "unknown", None, None  # what was typed is not kept: it may be a password
        return
    members = [] if user.is_operator else list(Member.objects.of(user))
    for member in members:
        yield member.actor, member.tenant_id, member.subject_id
    if not members:
        yield user.actor, None, None
