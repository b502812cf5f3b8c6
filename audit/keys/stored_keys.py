"""Reads keys that are not in memory with small queries, beside the ORM.

The tenant's key, which is above a subject's, comes with it. It opens at once where this process
holds the master key.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import psycopg
from django.db import DatabaseError

from audit.keys.keyring import Cipher, keyring
from audit.models import DataKey
from infrastructure.postgres.lookups import Lookups

_COLUMNS = """
    k.id, k.version, k.wrapped, k.wrapped_by, above.version, above.wrapped, above.wrapped_by"""
# The newest key of a subject of whom nothing bars it.
NEWEST = f"""
    select {_COLUMNS}
    from audit_datakey k join audit_datakey above on above.id = k.wrapped_by
    where k.tenant_id = {{tenant}} and k.subject_id = {{subject}}
      and not audit_barred({{tenant}}, {{subject}})
    order by k.version desc limit 1"""
_NEWEST_OF = """
    select k.* from unnest(%s::uuid[], %s::uuid[])
        with ordinality as a(tenant_id, subject_id, place)
    left join lateral ({newest}) k on true
    order by place""".format(newest=NEWEST.format(tenant="a.tenant_id", subject="a.subject_id"))
_BY_ID = f"""
    select k.tenant_id, k.subject_id, {_COLUMNS}
    from unnest(%s::uuid[]) with ordinality as a(id, place)
    left join (audit_datakey k join audit_datakey above on above.id = k.wrapped_by)
        on k.id = a.id and k.subject_id is not null
        and not audit_barred(k.tenant_id, k.subject_id)
    order by place"""


@dataclass(frozen=True, slots=True)
class StoredKey:
    """The row of a subject's key, and that of the tenant's key above it."""

    row: DataKey
    above: DataKey

    @classmethod
    def of(cls, tenant_id: UUID, subject_id: UUID, columns: tuple[Any, ...]) -> "StoredKey":
        """`columns`: those of `NEWEST`."""
        key_id, version, wrapped, wrapped_by, *above = columns
        row = _row(key_id, tenant_id, subject_id, version, wrapped, wrapped_by)
        return cls(row, _row(wrapped_by, tenant_id, None, *above))

    def opened(self, epoch: int, *, is_newest: bool) -> Cipher | None:
        """Returns the key if it opens at once, as `Keyring.opened` does. Raises as it does."""
        return keyring.opened(self.row, self.above, epoch, is_newest=is_newest)


async def of_subject(lookups: Lookups, tenant_id: UUID, subject_id: UUID) -> Cipher:
    """Returns what `Keyring.of_subject` does. Raises as it does."""
    if cached := keyring.cached(tenant_id, subject_id):
        return cached

    def opened(answer: tuple[Any, ...], epoch: int) -> Cipher | None:
        return StoredKey.of(tenant_id, subject_id, answer).opened(epoch, is_newest=True)

    cipher = await _look_up(lookups, _NEWEST_OF, (tenant_id, subject_id), opened)
    return cipher or await keyring.of_subject(tenant_id, subject_id)


async def by_id(lookups: Lookups, key_id: UUID) -> Cipher:
    """Returns what `Keyring.by_id` does. Raises as it does."""
    if cached := keyring.cached_by_id(key_id):
        return cached

    def opened(answer: tuple[Any, ...], epoch: int) -> Cipher | None:
        tenant_id, subject_id, *columns = answer
        return StoredKey.of(tenant_id, subject_id, tuple(columns)).opened(epoch, is_newest=False)

    cipher = await _look_up(lookups, _BY_ID, (key_id,), opened)
    return cipher or await keyring.by_id(key_id)


async def _look_up(
    lookups: Lookups,
    statement: str,
    question: tuple[UUID, ...],
    opened: Callable[[tuple[Any, ...], int], Cipher | None],
) -> Cipher | None:
    """Returns the key that answers a question; None if there is none or it does not open here."""
    epoch = keyring.epoch
    if epoch is None:
        return None
    try:
        answer = await lookups.ask(statement, question)
    except (psycopg.Error, OSError) as problem:
        raise DatabaseError(str(problem)) from problem
    return opened(answer, epoch) if answer[0] else None


def _row(
    key_id: UUID,
    tenant_id: UUID,
    subject_id: UUID | None,
    version: int,
    wrapped: bytes,
    wrapped_by: UUID,
) -> DataKey:
    fields = {"version": version, "wrapped": wrapped, "wrapped_by": wrapped_by}
    return DataKey(id=key_id, tenant_id=tenant_id, subject_id=subject_id, **fields)
