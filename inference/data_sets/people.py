"""Finds the person that a row names: by pseudonym, or by a member's address."""

from functools import lru_cache
from uuid import UUID

from inference.data_sets.rows import FindPerson
from tenants.models import Member
from tenants.scope import tenant_scope

REMEMBERED = 10_000
LONGEST = 254  # characters of an address


def finder(tenant_id: UUID) -> FindPerson:
    """Returns a function of a name: the subject's id, None for an address that no member has."""

    @lru_cache(REMEMBERED)
    def known(name: str) -> UUID | None:
        try:
            return UUID(name)
        except ValueError:
            return _member(tenant_id, name)

    def find(name: str) -> UUID | None:
        # Longer names would be remembered, and no address has a NUL, which PostgreSQL refuses.
        return None if len(name) > LONGEST or "\0" in name else known(name)

    return find


def _member(tenant_id: UUID, address: str) -> UUID | None:
    with tenant_scope(tenant_id):
        members = Member.objects.filter(tenant_id=tenant_id, user__email__iexact=address)
        return members.values_list("subject_id", flat=True).first()
