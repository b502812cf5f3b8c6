"""The owner of a job that the management API creates: a key, or a member of the tenant."""

from collections.abc import Callable, Collection

from django.utils.translation import gettext as _

from console.api.problem import denied
from console.api.requester import Requester
from inference.jobs.creating import JobOwner
from tenants import model_access
from tenants.models import Tenant


def owner_of(who: Requester, tenant: Tenant) -> JobOwner:
    """Raises Problem for those who are neither."""
    if key := who.key:
        return JobOwner(
            tenant_id=tenant.id,
            subject_id=key.subject_id,
            actor=who.actor,
            api_key_id=key.pk,
            member_id=key.created_by_id,
            team_id=key.team_id,
            may_use=_without(model_access.withheld_from_key(key), key.allowed_models),
        )
    if member := who.member:
        return JobOwner(
            tenant_id=tenant.id,
            subject_id=member.subject_id,
            actor=who.actor,
            member_id=member.pk,
            may_use=_without(model_access.withheld_from(member), []),
        )
    raise denied(_("Only members and keys of the tenant can do this."))


def _without(withheld: Collection[str], allowed: Collection[str]) -> Callable[[str], bool]:
    """Returns whether a model may be used; an empty list allows all."""
    return lambda model: model not in withheld and (not allowed or model in allowed)
