"""Finds the person that a row names: by pseudonym, or by a member's address."""

from functools import lru_cache
from uuid import UUID

from inference.data_sets.rows import FindPerson
from tenants.models import Member
from tenants.scope import tenant_scope

REMEMBERED = 10_000


def finder(tenant_id: UUID) -> FindPerson:
    """Returns a function of a name: the subject's id, None for an address that no member has."""

    @lru_cache(REMEMBERED)
    def find(name: str) -> UUID | None:
        try:
            return UUID(name)
        except ValueError:
            return _member(tenant_id, name)

    return find


def _member(tenant_id: UUID, address: str) -> UUID | None:
    with tenant_scope(tenant_id):
        members = Member.objects.filter(tenant_id=tenant_id, user__email__iexact=address)
        return members.values_list("subject_id", flat=True).first()
