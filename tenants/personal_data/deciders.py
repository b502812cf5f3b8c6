"""Decisions about people's data and access, with the same rules on pages and in the API.

Nobody decides alone about a person with more permissions: that needs the person's own approval, or
another decider. Nobody approves their own request.
"""

from collections.abc import Collection
from dataclasses import dataclass
from enum import StrEnum

from audit.models import DeletionRequest
from tenants.models import Member, Person, Tenant
from tenants.models.member import is_last_owner
from tenants.personal_data.subject import Former, Subject, find
from tenants.roles import Role


class RefusalReason(StrEnum):
    """A reason against a decision. Each front end has its own words for it."""

    LEFT_ALREADY = "left_already"
    NO_MEMBER = "no_member"
    LAST_OWNER = "last_owner"
    ABOVE = "above"  # the person's role has more permissions
    OWN_REQUEST = "own_request"


@dataclass(frozen=True, slots=True)
class Decider:
    """A person who decides, and the roles that they may assign. Keys and operators: no member."""

    tenant: Tenant
    actor: str
    member: Member | None
    roles: Collection[Role]

    def decides_alone(self, subject: Subject) -> bool:
        """Returns True if their request about this person needs nobody else."""
        if not isinstance(subject, Member) or subject == self.member:
            return True
        return Role(subject.role) in self.roles

    def to_decide(self, request: DeletionRequest) -> RefusalReason | None:
        """Returns why they can neither refuse nor lift the request, or None if they can."""
        subject = find(self.tenant, request.subject_id)
        above = subject is not None and not self.decides_alone(subject)
        return RefusalReason.ABOVE if above else None

    def to_approve(self, request: DeletionRequest) -> RefusalReason | None:
        """Returns why they cannot approve the request, or None if they can."""
        if request.by_subject:
            return None
        if request.requested_by == self.actor:
            return RefusalReason.OWN_REQUEST
        return self.to_decide(request)

    def to_remove(self, subject: Subject) -> RefusalReason | None:
        """Returns why the membership or key cannot be deleted as well, or None if it can."""
        if isinstance(subject, Former):
            return RefusalReason.LEFT_ALREADY
        if isinstance(subject, Person):
            return RefusalReason.NO_MEMBER
        if is_last_owner(subject):
            return RefusalReason.LAST_OWNER
        return None if self.decides_alone(subject) else RefusalReason.ABOVE
