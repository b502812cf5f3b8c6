"""Finds whom a decision is about, and the key that encrypts their texts.

Both are remembered: a customer who pays often costs no query. The keyring forgets the key of an
erased or restricted person within a second, and then the database is asked.
"""

import asyncio
from collections import OrderedDict
from typing import NamedTuple
from uuid import UUID

from django.core.exceptions import ValidationError
from django.db import DatabaseError

from audit.keys.keyring import Barred, Cipher, Unreadable, keyring
from audit.keys.master_keys.errors import MasterKeyUnavailable
from inference.errors import BadRequest, Conflict
from inference.intake.access.revocation import RESTRICTED
from inference.intake.errors import OutOfService
from infrastructure.postgres.request_threads import in_request_thread
from tenants.models import Person
from tenants.scope import tenant_scope

REMEMBERED, REMEMBERED_S = 20_000, 60.0


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

    async def of(self, tenant_id: UUID, reference: str) -> Subject:
        """Returns the person, made at the first decision. Raises BadRequest, Conflict."""
        now, name = asyncio.get_running_loop().time(), (tenant_id, reference)
        entry = self._ids.get(name)
        if entry and entry.until > now and (cipher := keyring.cached(tenant_id, entry.id)):
            return Subject(entry.id, cipher)
        subject = await self._read(tenant_id, reference)
        self._ids[name] = _Entry(subject.id, now + REMEMBERED_S)
        self._ids.move_to_end(name)
        if len(self._ids) > REMEMBERED:
            self._ids.popitem(last=False)
        return subject

    def forget(self, tenant_id: UUID, reference: str) -> None:
        """Forget one whose row may be gone."""
        self._ids.pop((tenant_id, reference), None)

    async def _read(self, tenant_id: UUID, reference: str) -> Subject:
        try:
            return await in_request_thread(_subject)(tenant_id, reference)
        except ValidationError as problem:
            raise BadRequest(f"`person`: {problem.messages[0]}", param="person") from None
        except Barred:
            what = (
                "the data of this person is being erased or is restricted: nothing of theirs is "
                "processed, and no decision is made about them"
            )
            raise Conflict(what, code=RESTRICTED, param="person") from None
        except (DatabaseError, Unreadable, MasterKeyUnavailable) as problem:
            raise OutOfService(str(problem)) from None


def _subject(tenant_id: UUID, reference: str) -> Subject:
    with tenant_scope(tenant_id):
        person = Person.objects.of(tenant_id, reference)
    return Subject(person.pk, keyring.of_subject_now(tenant_id, person.pk))


people = People()
