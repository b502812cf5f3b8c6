"""The owner of a job that the management API creates: a key, or a member of the tenant."""

from django.utils.translation import gettext as _

from console.api.problem import denied
from console.api.requester import Requester
from console.jobs.owner import of_member, without
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
            may_use=without(model_access.withheld_from_key(key), key.allowed_models),
        )
    if member := who.member:
        return of_member(member, who.actor)
    raise denied(_("Only members and keys of the tenant can do this."))
