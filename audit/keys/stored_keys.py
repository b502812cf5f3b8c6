"""Reads keys that are not in memory with small queries, beside the ORM.

They open at once if the key above theirs is in memory, as a tenant's is while its requests run.
"""

from uuid import UUID

import psycopg
from django.db import DatabaseError

from audit.keys.keyring import Cipher, keyring
from audit.models import DataKey
from infrastructure.postgres.lookups import Lookups

# The newest key of a subject of whom nothing bars it.
NEWEST = """
    select k.id, k.version, k.wrapped, k.wrapped_by from audit_datakey k
    where k.tenant_id = {tenant} and k.subject_id = {subject}
      and not audit_barred({tenant}, {subject})
    order by k.version desc limit 1"""
_BY_ID = """
    select k.tenant_id, k.subject_id, k.version, k.wrapped, k.wrapped_by
    from unnest(%s::uuid[]) with ordinality as a(id, place)
    left join audit_datakey k
        on k.id = a.id and k.subject_id is not null
        and not audit_barred(k.tenant_id, k.subject_id)
    order by place"""


async def by_id(lookups: Lookups, key_id: UUID) -> Cipher:
    """Returns what `Keyring.by_id` does. Raises as it does."""
    if cached := keyring.cached_by_id(key_id):
        return cached
    epoch = keyring.epoch
    if epoch is None:
        return await keyring.by_id(key_id)
    try:
        tenant_id, subject_id, *wrapped = await lookups.ask(_BY_ID, (key_id,))
    except (psycopg.Error, OSError) as problem:
        raise DatabaseError(str(problem)) from problem
    row = row_of(tenant_id, subject_id, key_id, *wrapped) if subject_id else None
    cipher = keyring.opened(row, epoch, is_newest=False) if row else None
    return cipher or await keyring.by_id(key_id)


def row_of(
    tenant_id: UUID, subject_id: UUID, key_id: UUID, version: int, wrapped: bytes, wrapped_by: UUID
) -> DataKey:
    fields = {"version": version, "wrapped": wrapped, "wrapped_by": wrapped_by}
    return DataKey(id=key_id, tenant_id=tenant_id, subject_id=subject_id, **fields)
