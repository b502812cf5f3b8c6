"""Stores files in encrypted pieces, written as they arrive and read on demand.

Memory holds one piece at a time. Each piece has a transaction of its own: one that lasted as long
as an upload would keep the audit trail's sealer waiting. Each is done again when its commit is cut
off, as by a planned switch-over: a row that is there already is not stored twice.
"""

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Any, TypeVar
from uuid import UUID

from django.db import IntegrityError, transaction
from django.db.models import Q, QuerySet
from django.db.models.functions import Now
from django.utils import timezone

from audit.actions import Action
from audit.keys.keyring import Cipher, keyring
from audit.retention import legal_hold
from audit.retention.legal_hold import OnHold
from audit.trail.record import act
from inference.batch import file_storage_limit
from inference.batch.encryption import chunk_aad, cipher_of, name_aad
from inference.batch.file_storage_limit import FileGone
from inference.models import Batch, File, FileChunk, FilePurpose, Job
from infrastructure.postgres.repeated_transaction import transact
from tenants.scope import read_in_tenant_scope, tenant_scope

T = TypeVar("T")

PIECE = 1024 * 1024  # bytes of the content in each chunk but the last
ABANDONED = timedelta(hours=2)  # after its first byte; by then its writer has died
EXPIRED_BATCH, BY = 100, "system:expiry"


@dataclass(frozen=True, slots=True)
class FileOwner:
    """The owner of a file, and the name of its writer in the audit trail."""

    tenant_id: UUID
    subject_id: UUID
    api_key_id: UUID | None
    actor: str
    client_net: str | None = None


def new_file(owner: FileOwner, cipher: Cipher, name: str, **fields: Any) -> File:
    """Returns an unsaved row of the owner's, with an encrypted name."""
    file = File(
        tenant_id=owner.tenant_id,
        api_key_id=owner.api_key_id,
        subject_id=owner.subject_id,
        data_key_id=cipher.key_id,
        **fields,
    )
    file.name_ciphertext = cipher.encrypt(name.encode(), name_aad(file))
    return file


def insert_once(file: File) -> None:
    """Insert the row unless it is there; wait for another transaction that inserts it."""
    File.objects.bulk_create([file], ignore_conflicts=True)
    file.refresh_from_db(fields=["created_at"])


class FileWriter:
    """Writes a file that is invisible before `finish`. Raises Barred for an erased person.

    `is_limited`: the limits of the tenant's files apply; then it raises TooManyFiles and
    StorageFull. `count_bytes` gets the bytes of each piece before it is stored; an exception of it
    ends the writing.
    """

    def __init__(
        self,
        owner: FileOwner,
        purpose: FilePurpose,
        name: str,
        *,
        is_limited: bool = False,
        part_of: File | None = None,
        count_bytes: Callable[[int], None] | None = None,
    ) -> None:
        self._owner, self._is_limited, self._count_bytes = owner, is_limited, count_bytes
        self._cipher = keyring.of_subject_now(owner.tenant_id, owner.subject_id)
        self.file = new_file(owner, self._cipher, name, purpose=purpose, part_of=part_of)
        self._piece, self._number, self._room = bytearray(), 0, 0
        try:
            self._room = self._transact(self._begin)
        except IntegrityError:  # a part of an upload that is gone
            raise FileGone from None

    def write(self, data: bytes) -> None:
        """Add bytes. Raises StorageFull, FileGone."""
        self._piece += data
        self.file.size += len(data)
        while len(self._piece) >= PIECE:
            self._store(bytes(self._piece[:PIECE]))
            del self._piece[:PIECE]

    def flush(self) -> None:
        """Store all that was written. `finish` does so too.

        Raises StorageFull, FileGone.
        """
        if self._piece:
            self._store(bytes(self._piece))
            self._piece.clear()

    def finish(
        self, expires_after_s: int | None = None, *, purpose: FilePurpose | None = None
    ) -> File:
        """Make the file readable, and record it in the same transaction.

        `purpose`: if it became known while the content came. `expires_after_s` counts from the
        file's creation. In an open transaction, call `flush` before that: the pieces would go with
        it. Raises StorageFull, FileGone.
        """
        self.flush()
        file = self.file
        file.whole = True
        file.purpose = purpose or file.purpose
        if expires_after_s is not None:
            file.expires_at = file.created_at + timedelta(seconds=expires_after_s)
        self._transact(self._complete)
        return file

    def finish_part(self) -> File:
        """Finish a part of an upload, which is no file by itself. Raises StorageFull, FileGone."""
        self.flush()
        self._transact(self._save_size)
        return self.file

    def is_finished(self) -> bool:
        """Returns whether the file is readable, in the tenant's scope."""
        return File.objects.whole().filter(pk=self.file.pk).exists()

    def discard(self) -> None:
        """Delete what was written, unless it was finished by a commit whose answer was lost."""
        self._transact(File.objects.filter(pk=self.file.pk, whole=False).delete)

    def _transact(self, work: Callable[[], T]) -> T:
        return transact(partial(tenant_scope, self._owner.tenant_id), work, repeatable=True)

    def _begin(self) -> int:
        if self._is_limited:
            file_storage_limit.check_number(self.file)
        insert_once(self.file)
        return self._reserved(1)

    def _complete(self) -> None:
        fields = ("size", "whole", "expires_at", "purpose")
        values = {name: getattr(self.file, name) for name in fields}
        if File.objects.filter(pk=self.file.pk, whole=False).update(**values):
            by = self._owner.actor, self._owner.client_net
            on_record(Action.FILE_CREATE, self.file, *by)
        elif not self.is_finished():
            raise FileGone

    def _save_size(self) -> None:
        if not File.objects.filter(pk=self.file.pk).update(size=self.file.size):
            raise FileGone

    def _store(self, piece: bytes) -> None:
        if self._count_bytes:
            self._count_bytes(len(piece))
        ciphertext = self._cipher.encrypt(piece, chunk_aad(self.file, self._number))
        chunk = FileChunk(tenant_id=self._owner.tenant_id, file=self.file)
        chunk.number, chunk.ciphertext = self._number, ciphertext
        size = self._number * PIECE + len(piece)
        try:
            self._room = self._transact(partial(self._save_chunk, chunk, size))
        except IntegrityError:  # its file is gone
            raise FileGone from None
        self._number += 1

    def _save_chunk(self, chunk: FileChunk, size: int) -> int:
        room = self._reserved(size)
        FileChunk.objects.bulk_create([chunk], ignore_conflicts=True)
        return room

    def _reserved(self, size: int) -> int:
        """Returns the bytes that are reserved now: `size` at least."""
        if not self._is_limited or size <= self._room:
            return self._room
        return file_storage_limit.reserve(self.file, size)


class FileReader:
    """Reads any part of a file and keeps the piece that was read last. Raises Unreadable."""

    def __init__(self, file: File) -> None:
        self._file, self._cipher = file, cipher_of(file)
        self._number, self._piece = -1, b""

    def read(self, offset: int, length: int) -> bytes:
        """Returns the bytes there; fewer if the file ends before."""
        parts, end = [], min(offset + length, self._file.size)
        while offset < end:
            number, start = divmod(offset, PIECE)
            part = self.piece(number)[start : start + end - offset]
            parts.append(part)
            offset += len(part)
        return b"".join(parts)

    @property
    def count(self) -> int:
        """Returns the number of pieces."""
        return -(-self._file.size // PIECE)

    def pieces(self) -> Iterator[bytes]:
        return map(self.piece, range(self.count))

    def piece(self, number: int) -> bytes:
        if number != self._number:
            self._piece, self._number = self._decrypted(number), number
        return self._piece

    def _decrypted(self, number: int) -> bytes:
        read = partial(FileChunk.objects.get, file=self._file, number=number)
        chunk = read_in_tenant_scope(self._file.tenant_id, read)
        return self._cipher.decrypt(bytes(chunk.ciphertext), chunk_aad(self._file, number))


def on_record(
    action: Action, file: File, by: str, client_net: str | None = None, reason: str = ""
) -> None:
    detail = {"file": file.public_id, "purpose": str(file.purpose), "bytes": file.size}
    act(
        action,
        actor=by,
        tenant_id=file.tenant_id,
        subject_id=file.subject_id,
        client_net=client_net,
        detail={**detail, "reason": reason} if reason else detail,
    )


def forget_abandoned() -> None:
    """Delete files whose writer has died."""
    before = timezone.now() - ABANDONED
    File.objects.filter(whole=False, created_at__lt=before).delete()


def forget_expired() -> None:
    """Delete expired files, except for those that a batch under way or a job reads, or that a legal
    hold keeps.
    """
    for file in _expired().order_by("expires_at")[:EXPIRED_BATCH]:
        with suppress(OnHold), transaction.atomic():
            if lock_if_whole(file) and not is_in_use(file):  # checked again under a lock
                delete(file, BY)


def _expired() -> QuerySet[File]:
    """Returns what may go. What must stay is left out, or it would fill each round."""
    expired = File.objects.whole().filter(expires_at__lte=Now())
    read = Q(pk__in=Batch.objects.under_way().values("input_file_id"))
    read |= Q(pk__in=Job.objects.unfinished().file_ids())
    return expired.exclude(read).exclude(legal_hold.holding_row())


def delete(file: File, by: str, client_net: str | None = None) -> None:
    """Delete a locked file in an open transaction, and record that. Raises OnHold."""
    legal_hold.refuse_if_held(file.tenant_id, file.subject_id)
    on_record(Action.FILE_DELETE, file, by, client_net)
    File.objects.filter(pk=file.pk).delete()


def lock_if_whole(file: File) -> bool:
    """Returns whether the file exists, and locks it until the transaction ends.

    Deletion of a file and creation of a batch from it both ask here first.
    """
    rows = File.objects.whole().filter(pk=file.pk)
    return rows.select_for_update(no_key=True).values_list("pk").first() is not None


def is_in_use(file: File) -> bool:
    """Returns whether a batch under way or an unfinished job reads it."""
    batches = Batch.objects.filter(tenant_id=file.tenant_id, input_file_id=file.pk)
    jobs = Job.objects.filter(tenant_id=file.tenant_id).reading(file.pk)
    return batches.under_way().exists() or jobs.unfinished().exists()
