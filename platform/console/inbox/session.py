"""The signed-in member of an inbox's socket."""

from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs

from inference.chat.threads import off_loop_for
from tenants.accounts.required_actions import duty
from tenants.models import Member, User
from tenants.models.tenant import State
from tenants.roles import Permission


@dataclass(frozen=True, eq=False)
class InboxSession:
    user: User
    member: Member
    session_key: str

    @classmethod
    async def of(cls, scope: Any) -> "InboxSession | None":
        """Returns None for people who may not answer dialogues of the tenant."""
        user = scope["user"]
        tenant = parse_qs(scope["query_string"].decode("latin-1")).get("tenant", [""])[0]
        if not user.is_authenticated or await off_loop_for(user, duty)(scope["session"], user):
            return None
        member = await off_loop_for(user, _member)(user, tenant)
        return cls(user, member, scope["session"].session_key) if member else None


def _member(user: User, tenant: str) -> Member | None:
    if "\0" in tenant:
        return None
    rows = Member.objects.of(user).filter(tenant__name=tenant, user__is_active=True)
    member = rows.filter(tenant__state=State.ACTIVE).select_related("tenant").first()
    return member if member and member.may(Permission.ANSWER_DIALOGUES) else None
