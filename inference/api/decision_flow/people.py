"""Finds whom a decision is about, and the key that encrypts their texts.

Both are remembered: a customer who pays often costs no query. The keyring forgets the key of an
erased or restricted person within a second, and then the database is asked.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import NamedTuple
from uuid import UUID

import psycopg
from django.core.exceptions import ValidationError
from django.db import DatabaseError

from audit.keys.keyring import Barred, Cipher, Unreadable, keyring
from audit.keys.master_keys.errors import MasterKeyUnavailable
from audit.keys.stored_keys import NEWEST, StoredKey
from audit.trail.group_commit import GroupCommit, StoreUnavailable
from inference.api.ownership import repeatable_in_scope
from inference.errors import BadRequest, Conflict
from inference.intake.access.revocation import RESTRICTED
from inference.intake.errors import OutOfService
from infrastructure.postgres.lookups import Lookups
from tenants.models import Person
from tenants.models.people.newcomer import Newcomer
from tenants.models.people.reference import reference_digest_at_once

REMEMBERED, REMEMBERED_S = 20_000, 60.0
_STORED = """
    select p.id, k.* from unnest(%s::uuid[], %s::bytea[])
        with ordinality as a(tenant_id, digest, place)
    left join (tenants_person p cross join lateral ({newest}) k)
        on p.tenant_id = a.tenant_id and p.digest = a.digest
    order by place""".format(newest=NEWEST.format(tenant="p.tenant_id", subject="p.id"))


class Subject(NamedTuple):
    """A person, and the cipher of their texts."""

    id: UUID
    cipher: Cipher


class _Entry(NamedTuple):
    id: UUID
    until: float


class People:
    def __init__(self) -> None:
        self._ids: OrderedDict[tuple[UUID, str], _Entry] = OrderedDict()

    async def of(
        self, lookups: Lookups, newcomers: GroupCommit, tenant_id: UUID, reference: str
    ) -> Subject:
        """Returns the person, made at the first decision. Raises BadRequest, Conflict."""
        if subject := await self.known_or_stored(lookups, tenant_id, reference):
            return subject
        with refusals():
            subject = await _made(newcomers, tenant_id, reference)
        subject = subject or await self._read(tenant_id, reference)
        self.remember(tenant_id, reference, subject)
        return subject

    async def known_or_stored(
        self, lookups: Lookups, tenant_id: UUID, reference: str
    ) -> Subject | None:
        """Returns the person if they are remembered, or at hand with one small query.

        Raises BadRequest, OutOfService.
        """
        if known := self.known(tenant_id, reference):
            return known
        with refusals():
            if subject := await _stored(lookups, tenant_id, reference):
                self.remember(tenant_id, reference, subject)
        return subject

    def known(self, tenant_id: UUID, reference: str) -> Subject | None:
        """Returns the person if they are remembered, without a query."""
        entry = self._ids.get((tenant_id, reference))
        if entry and entry.until > asyncio.get_running_loop().time():
            cipher = keyring.cached(tenant_id, entry.id)
            return Subject(entry.id, cipher) if cipher else None
        return None

    def remember(self, tenant_id: UUID, reference: str, subject: Subject) -> None:
        until, name = asyncio.get_running_loop().time() + REMEMBERED_S, (tenant_id, reference)
        self._ids[name] = _Entry(subject.id, until)
        self._ids.move_to_end(name)
        if len(self._ids) > REMEMBERED:
            self._ids.popitem(last=False)

    def forget(self, tenant_id: UUID, reference: str) -> None:
        """Forget one whose row may be gone."""
        self._ids.pop((tenant_id, reference), None)

    async def _read(self, tenant_id: UUID, reference: str) -> Subject:
        with refusals():
            return await repeatable_in_scope(tenant_id, subject_of, tenant_id, reference)


async def _stored(lookups: Lookups, tenant_id: UUID, reference: str) -> Subject | None:
    """Returns a person of whom the database knows, and whose key opens at once."""
    epoch, digest = keyring.epoch, reference_digest_at_once(tenant_id, reference)
    if epoch is None or digest is None:
        return None
    try:
        person_id, *key = await lookups.ask(_STORED, (tenant_id, digest))
    except (psycopg.Error, OSError) as problem:
        raise OutOfService(str(problem)) from None
    if person_id is None:
        return None
    stored, cipher = StoredKey.of(tenant_id, person_id, tuple(key)), None
    # The long way says so, once it has looked for the request's key.
    with suppress(Unreadable, MasterKeyUnavailable):
        cipher = stored.opened(epoch, is_newest=True)
    return Subject(person_id, cipher) if cipher else None


async def _made(newcomers: GroupCommit, tenant_id: UUID, reference: str) -> Subject | None:
    """Returns a person who is stored now; None if somebody else stores them or their tenant's key
    is not at hand.
    """
    newcomer = Newcomer.of(tenant_id, reference)
    if newcomer is None or not await newcomers.write(newcomer.row()):
        return None
    cipher = keyring.keep(newcomer.key)
    return Subject(newcomer.id, cipher) if cipher else None


@contextmanager
def refusals() -> Iterator[None]:
    """Raise what the client gets: BadRequest, Conflict, OutOfService."""
    try:
        yield
    except ValidationError as problem:
        raise BadRequest(f"`person`: {problem.messages[0]}", param="person") from None
    except Barred:
        what = (
            "the data of this person is being erased or is restricted: nothing of theirs is "
            "processed, and no decision is made about them"
        )
        raise Conflict(what, code=RESTRICTED, param="person") from None
    except (
        DatabaseError,
        MasterKeyUnavailable,
        StoreUnavailable,
        Unreadable,
        psycopg.Error,
    ) as problem:
        raise OutOfService(str(problem)) from None


def subject_of(tenant_id: UUID, reference: str) -> Subject:
    """Returns the person and their key, in the tenant's scope: one transaction makes both."""
    person, is_new = Person.objects.known_or_new(tenant_id, reference)
    return Subject(person.pk, keyring.of_subject_in_scope(tenant_id, person.pk, is_new=is_new))


people = People()
