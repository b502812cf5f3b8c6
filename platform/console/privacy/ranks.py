"""Who may decide about whom: nobody about somebody who may do more than they may."""

from collections.abc import Collection

from audit.models import DeletionRequest
from console.privacy.pseudonyms import find
from tenants.models import Member, Tenant
from tenants.roles import Role


def outranks(
    found: DeletionRequest, tenant: Tenant, decider: Member | None, roles: Collection[Role]
) -> bool:
    """Whether the request is about somebody above the decider, who gives and takes `roles`."""
    whose = find(tenant, found.subject_id)
    if not isinstance(whose, Member) or whose == decider:
        return False
    return Role(whose.role) not in roles
