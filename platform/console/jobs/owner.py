"""The owner of a job that a member creates, and what a job of theirs may use."""

from collections.abc import Callable, Collection

from inference.jobs.creating import JobOwner
from tenants import model_access
from tenants.models import Member

MayUse = Callable[[str], bool]


def of_member(member: Member, actor: str) -> JobOwner:
    return JobOwner(
        tenant_id=member.tenant_id,
        subject_id=member.subject_id,
        actor=actor,
        member_id=member.pk,
        may_use=without(model_access.withheld_from(member)),
    )


def without(withheld: Collection[str], allowed: Collection[str] = ()) -> MayUse:
    """Returns whether a model may be used; an empty list allows all."""
    return lambda model: model not in withheld and (not allowed or model in allowed)
