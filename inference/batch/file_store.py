"""Files in encrypted pieces: written as they come and read as they are asked for.

Memory holds one piece at a time. Each piece has a transaction of its own: one that lasted as long
as an upload would keep the audit trail's sealer waiting.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from django.db import IntegrityError, transaction
from django.db.models.functions import Now
from django.utils import timezone

from audit.actions import Action
from audit.keys.keyring import keyring
from audit.trail.record import act
from inference.batch import file_room
from inference.batch.encryption import chunk_aad, cipher_of, name_aad
from inference.batch.file_room import FileGone
from inference.models import Batch, File, FileChunk, FilePurpose
from tenants.scope import tenant_scope

PIECE = 1024 * 1024  # bytes of the content in each chunk but the last
ABANDONED = timedelta(hours=2)  # so long after its first byte nobody writes a file any more
EXPIRED_AT_ONCE, BY = 100, "system:expiry"


@dataclass(frozen=True, slots=True)
class Owner:
    """Whose file it is, and who writes it as the audit trail names them."""

    tenant_id: UUID
    subject_id: UUID
    api_key_id: UUID | None
    actor: str
    client_net: str | None = None


class FileWriter:
    """Of a file that exists for nobody before `finish`. Raises Barred for who is erased.

    `is_limited`: whether the limits of the tenant's files hold it; then it raises TooManyFiles and
    StorageFull. `charge` is told the bytes of each piece before it is stored; what it raises ends
    the writing.
    """

    def __init__(
        self,
        owner: Owner,
        purpose: FilePurpose,
        name: str,
        *,
        is_limited: bool = False,
        part_of: File | None = None,
        charge: Callable[[int], None] | None = None,
    ) -> None:
        self._owner, self._is_limited, self._charge = owner, is_limited, charge
        self._cipher = keyring.of_subject_now(owner.tenant_id, owner.subject_id)
        self.file = File(
            tenant_id=owner.tenant_id,
            api_key_id=owner.api_key_id,
            subject_id=owner.subject_id,
            data_key_id=self._cipher.key_id,
            purpose=purpose,
            part_of=part_of,
        )
        self.file.name_ciphertext = self._cipher.encrypt(name.encode(), name_aad(self.file))
        self._piece, self._number, self._room = bytearray(), 0, 0
        try:
            with tenant_scope(owner.tenant_id):
                if is_limited:
                    file_room.check_number(owner.tenant_id)
                self.file.save(force_insert=True)
                self._reserve(1)
        except IntegrityError:  # a part of what is there no more
            raise FileGone from None

    def write(self, data: bytes) -> None:
        """Raises StorageFull, FileGone."""
        self._piece += data
        self.file.size += len(data)
        while len(self._piece) >= PIECE:
            self._store(bytes(self._piece[:PIECE]))
            del self._piece[:PIECE]

    def finish(self, expires_after_s: int | None = None) -> File:
        """From now on it can be read. On record in the same transaction.

        `expires_after_s`: from when it was begun. Raises StorageFull, FileGone.
        """
        self._store_rest()
        file, owner = self.file, self._owner
        file.whole = True
        if expires_after_s is not None:
            file.expires_at = file.created_at + timedelta(seconds=expires_after_s)
        with tenant_scope(owner.tenant_id):
            told = {"size": file.size, "whole": True, "expires_at": file.expires_at}
            if not File.objects.filter(pk=file.pk).update(**told):
                raise FileGone
            on_record(Action.FILE_CREATE, file, owner.actor, owner.client_net)
        return file

    def finish_part(self) -> File:
        """Of an upload (upload_parts.py); it is no file by itself. Raises StorageFull, FileGone."""
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
        if self._charge:
            self._charge(len(piece))
        ciphertext = self._cipher.encrypt(piece, chunk_aad(self.file, self._number))
        chunk = FileChunk(
            tenant_id=self._owner.tenant_id,
            file=self.file,
            number=self._number,
            ciphertext=ciphertext,
        )
        try:
            with tenant_scope(self._owner.tenant_id):
                self._reserve(self._number * PIECE + len(piece))
                chunk.save(force_insert=True)
        except IntegrityError:  # of a file that is there no more
            raise FileGone from None
        self._number += 1

    def _reserve(self, size: int) -> None:
        if self._is_limited and size > self._room:
            self._room = file_room.reserve(self.file, size)


class FileReader:
    """Of any part of a file; the piece that was read last is kept. Raises Unreadable."""

    def __init__(self, file: File) -> None:
        self._file, self._cipher = file, cipher_of(file)
        self._number, self._piece = -1, b""

    def read(self, offset: int, length: int) -> bytes:
        """Fewer bytes where the file ends before."""
        parts, end = [], min(offset + length, self._file.size)
        while offset < end:
            number, start = divmod(offset, PIECE)
            part = self.piece(number)[start : start + end - offset]
            parts.append(part)
            offset += len(part)
        return b"".join(parts)

    @property
    def count(self) -> int:
        """Of pieces."""
        return -(-self._file.size // PIECE)

    def pieces(self) -> Iterator[bytes]:
        return map(self.piece, range(self.count))

    def piece(self, number: int) -> bytes:
        if number != self._number:
            self._piece, self._number = self._opened(number), number
        return self._piece

    def _opened(self, number: int) -> bytes:
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
    """Files whose writer died."""
    before = timezone.now() - ABANDONED
    File.objects.filter(whole=False, created_at__lt=before).delete()


def forget_expired() -> None:
    """Those whose time is over, but for what a batch under way reads."""
    read = Batch.objects.under_way().values("input_file_id")
    due = File.objects.whole().filter(expires_at__lte=Now()).exclude(pk__in=read)
    for file in due.order_by("expires_at")[:EXPIRED_AT_ONCE]:
        with transaction.atomic():
            if is_kept(file) and not is_read(file):  # as it is by now
                on_record(Action.FILE_DELETE, file, BY)
                file.delete()


def is_kept(file: File) -> bool:
    """Whether it is there, and from now until the transaction ends: who deletes it and who begins a
    batch of it, both ask here first.
    """
    rows = File.objects.whole().filter(pk=file.pk)
    return rows.select_for_update(no_key=True).values_list("pk").first() is not None


def is_read(file: File) -> bool:
    """By a batch under way."""
    batches = Batch.objects.filter(tenant_id=file.tenant_id, input_file_id=file.pk)
    return batches.under_way().exists()
