"""Stores files in encrypted pieces, written as they arrive and read on demand.

Memory holds one piece at a time. Each piece has a transaction of its own: one that lasted as long
as an upload would keep the audit trail's sealer waiting.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.db import IntegrityError, transaction
from django.db.models.functions import Now
from django.utils import timezone

from audit.actions import Action
from audit.keys.keyring import Cipher, keyring
from audit.trail.record import act
from inference.batch import file_storage_limit
from inference.batch.encryption import chunk_aad, cipher_of, name_aad
from inference.batch.file_storage_limit import FileGone
from inference.models import Batch, File, FileChunk, FilePurpose, Job
from tenants.scope import tenant_scope

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
            with tenant_scope(owner.tenant_id):
                if is_limited:
                    file_storage_limit.check_number(owner.tenant_id)
                self.file.save(force_insert=True)
                self._reserve(1)
        except IntegrityError:  # a part of an upload that is gone
            raise FileGone from None

    def write(self, data: bytes) -> None:
        """Add bytes. Raises StorageFull, FileGone."""
        self._piece += data
        self.file.size += len(data)
        while len(self._piece) >= PIECE:
            self._store(bytes(self._piece[:PIECE]))
            del self._piece[:PIECE]

    def finish(
        self, expires_after_s: int | None = None, *, purpose: FilePurpose | None = None
    ) -> File:
        """Make the file readable, and record it in the same transaction.

        `purpose`: if it became known while the content came. `expires_after_s` counts from the
        file's creation. Raises StorageFull, FileGone.
        """
        self._store_rest()
        file, owner = self.file, self._owner
        file.whole = True
        file.purpose = purpose or file.purpose
        if expires_after_s is not None:
            file.expires_at = file.created_at + timedelta(seconds=expires_after_s)
        with tenant_scope(owner.tenant_id):
            fields = ("size", "whole", "expires_at", "purpose")
            values = {name: getattr(file, name) for name in fields}
            if not File.objects.filter(pk=file.pk).update(**values):
                raise FileGone
            on_record(Action.FILE_CREATE, file, owner.actor, owner.client_net)
        return file

    def finish_part(self) -> File:
        """Finish a part of an upload, which is no file by itself. Raises StorageFull, FileGone."""
        self._store_rest()
        with tenant_scope(self._owner.tenant_id):
            if not File.objects.filter(pk=self.file.pk).update(size=self.file.size):
                raise FileGone
        return self.file

    def discard(self) -> None:
        with tenant_scope(self._owner.tenant_id):
            File.objects.filter(pk=self.file.pk).delete()

    def _store_rest(self) -> None:
        if self._piece:
            self._store(bytes(self._piece))

    def _store(self, piece: bytes) -> None:
        if self._count_bytes:
            self._count_bytes(len(piece))
        ciphertext = self._cipher.encrypt(piece, chunk_aad(self.file, self._number))
        chunk = FileChunk(tenant_id=self._owner.tenant_id, file=self.file)
        chunk.number, chunk.ciphertext = self._number, ciphertext
        try:
            with tenant_scope(self._owner.tenant_id):
                self._reserve(self._number * PIECE + len(piece))
                chunk.save(force_insert=True)
        except IntegrityError:  # its file is gone
            raise FileGone from None
        self._number += 1

    def _reserve(self, size: int) -> None:
        if self._is_limited and size > self._room:
            self._room = file_storage_limit.reserve(self.file, size)


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
        with tenant_scope(self._file.tenant_id):
            chunk = FileChunk.objects.get(file=self._file, number=number)
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
    """Delete expired files, except for those that a batch under way or a job reads."""
    input_ids = Batch.objects.under_way().values("input_file_id")
    expired = File.objects.whole().filter(expires_at__lte=Now()).exclude(pk__in=input_ids)
    for file in expired.order_by("expires_at")[:EXPIRED_BATCH]:
        with transaction.atomic():
            if lock_if_whole(file) and not is_in_use(file):  # checked again under a lock
                on_record(Action.FILE_DELETE, file, BY)
                file.delete()


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
