"""A file that is uploaded in parts, in any order, within an hour, and assembled at the end.

A part is stored like a file, but is invisible; the assembled whole is a file of its own. An upload
that is never completed is deleted like a file whose writer died.
"""

from functools import partial
from hashlib import md5
from uuid import UUID

from audit.keys.keyring import keyring
from inference.batch import file_storage_limit
from inference.batch.encryption import name_of
from inference.batch.file_storage_limit import FileGone
from inference.batch.file_store import FileOwner, FileReader, FileWriter, insert_once, new_file
from inference.models import File, FileChunk, FilePurpose
from infrastructure.postgres.repeated_transaction import transact
from tenants.scope import read_in_tenant_scope, tenant_scope


class NoSuchPart(Exception):
    pass


class OtherSize(Exception):
    """The parts have another size than declared. `actual_size` is their size in bytes."""

    def __init__(self, actual_size: int) -> None:
        super().__init__(actual_size)
        self.actual_size = actual_size


class OtherContent(Exception):
    """The parts have another checksum."""


def begin(
    owner: FileOwner,
    name: str,
    size: int,
    expires_after_s: int | None,
    purpose: FilePurpose = FilePurpose.BATCH,
) -> File:
    """Create an upload. Raises Barred, TooManyFiles."""
    cipher = keyring.of_subject_now(owner.tenant_id, owner.subject_id)
    fields = {"declared_size": size, "expires_after_s": expires_after_s}
    upload = new_file(owner, cipher, name, purpose=purpose, **fields)
    in_tenant = partial(tenant_scope, owner.tenant_id)
    transact(in_tenant, partial(_store, upload), repeatable=True)
    return upload


def _store(upload: File) -> None:
    file_storage_limit.check_number(upload)
    insert_once(upload)


def complete(upload: File, part_ids: list[UUID], owner: FileOwner, checksum: str = "") -> File:
    """Assemble the file and delete its parts. They count as stored until then.

    Raises NoSuchPart, OtherSize, OtherContent, FileGone, Barred, Unreadable.
    """
    parts = read_in_tenant_scope(owner.tenant_id, partial(_parts, upload, part_ids))
    if (actual_size := sum(part.size for part in parts)) != upload.declared_size:
        raise OtherSize(actual_size)
    writer = FileWriter(owner, FilePurpose(upload.purpose), name_of(upload))
    try:
        digest = _copied(parts, writer)
        if checksum and digest != checksum.lower():
            raise OtherContent
        writer.flush()
        in_tenant = partial(tenant_scope, owner.tenant_id)
        transact(in_tenant, partial(_finish, writer, upload), repeatable=True)
    except BaseException:
        writer.discard()
        raise
    return writer.file


def _finish(writer: FileWriter, upload: File) -> None:
    if writer.is_finished():  # by a commit that was cut off
        return
    writer.finish(upload.expires_after_s)
    if not cancel(upload):  # somebody else has completed it, or cancelled
        raise FileGone


def cancel(upload: File) -> bool:
    """Delete the upload in the tenant's scope. Returns False if it is over already."""
    deleted, _rows = File.objects.pending().filter(pk=upload.pk).delete()
    return bool(deleted)


def _parts(upload: File, ids: list[UUID]) -> list[File]:
    parts = {part.pk: part for part in File.objects.filter(part_of=upload, pk__in=ids)}
    if len(parts) != len(ids):
        raise NoSuchPart if File.objects.pending().filter(pk=upload.pk).exists() else FileGone
    return [parts[pk] for pk in ids]


def _copied(parts: list[File], writer: FileWriter) -> str:
    """Copy the parts, and return their MD5 in the form of OpenAI's clients."""
    digest = md5(usedforsecurity=False)
    try:
        for part in parts:
            for piece in FileReader(part).pieces():
                digest.update(piece)
                writer.write(piece)
    except FileChunk.DoesNotExist:  # another process was faster
        raise FileGone from None
    return digest.hexdigest()
