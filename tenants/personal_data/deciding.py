"""Who may decide about whose data, and end whose access: the same on pages and in the API.

Nobody decides about somebody who may do more than they may: that takes the person's own approval,
or another one who decides. And nobody approves what they asked for themselves.
"""

from collections.abc import Collection
from dataclasses import dataclass
from enum import StrEnum

from audit.models import DeletionRequest
from tenants.models import Member, Tenant
from tenants.models.member import is_last_owner
from tenants.personal_data.whose import Former, Whose, find
from tenants.roles import Role


class WhyNot(StrEnum):
    """Why not. Each front end has its own words for it."""

    LEFT_ALREADY = "left_already"
    LAST_OWNER = "last_owner"
    ABOVE = "above"  # their role may do more
    OWN_REQUEST = "own_request"


@dataclass(frozen=True, slots=True)
class Decider:
    """`roles` are those that they may give and take; `member` is None for keys and operators."""

    tenant: Tenant
    actor: str
    member: Member | None
    roles: Collection[Role]

    def decides_alone(self, whose: Whose) -> bool:
        """Whether a request of theirs about this person needs nobody else."""
        if not isinstance(whose, Member) or whose == self.member:
            return True
        return Role(whose.role) in self.roles

    def to_decide(self, request: DeletionRequest) -> WhyNot | None:
        """Why they can neither refuse nor lift it; None when they can."""
        whose = find(self.tenant, request.subject_id)
        above = whose is not None and not self.decides_alone(whose)
        return WhyNot.ABOVE if above else None

    def to_approve(self, request: DeletionRequest) -> WhyNot | None:
        """Why they cannot approve it; None when they can."""
        if request.by_subject:
            return None
        if request.requested_by == self.actor:
            return WhyNot.OWN_REQUEST
        return self.to_decide(request)

    def to_remove(self, whose: Whose) -> WhyNot | None:
        """Why the person's membership or key cannot go as well; None when it can."""
        if isinstance(whose, Former):
            return WhyNot.LEFT_ALREADY
        if is_last_owner(whose):
            return WhyNot.LAST_OWNER
        return None if self.decides_alone(whose) else WhyNot.ABOVE
