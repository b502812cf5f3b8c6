"""A file that comes in parts, in any order, within an hour: then it is put together from them.

A part is stored like a file, and is none: nobody sees it before the whole, which is then a file of
its own. What is never completed goes like a file whose writer died.
"""

from hashlib import md5
from uuid import UUID

from audit.keys.keyring import keyring
from inference.batch import file_room
from inference.batch.encryption import name_aad, name_of
from inference.batch.file_room import FileGone
from inference.batch.file_store import FileReader, FileWriter, Owner
from inference.models import File, FileChunk, FilePurpose
from tenants.scope import tenant_scope


class NoSuchPart(Exception):
    pass


class OtherSize(Exception):
    """`came`: bytes of the parts, which are not as many as were said."""

    def __init__(self, came: int) -> None:
        super().__init__(came)
        self.came = came


class OtherContent(Exception):
    """Its checksum is another one."""


def begin(owner: Owner, name: str, size: int, expires_after_s: int | None) -> File:
    """Raises Barred, TooManyFiles."""
    cipher = keyring.of_subject_now(owner.tenant_id, owner.subject_id)
    upload = File(
        tenant_id=owner.tenant_id,
        api_key_id=owner.api_key_id,
        subject_id=owner.subject_id,
        data_key_id=cipher.key_id,
        purpose=FilePurpose.BATCH,
        declared_size=size,
        expires_after_s=expires_after_s,
    )
    upload.name_ciphertext = cipher.encrypt(name.encode(), name_aad(upload))
    with tenant_scope(owner.tenant_id):
        file_room.check_number(owner.tenant_id)
        upload.save(force_insert=True)
    return upload


def complete(upload: File, part_ids: list[UUID], owner: Owner, checksum: str = "") -> File:
    """The file. Its parts are gone then, and have been counted in its stead until now.

    Raises NoSuchPart, OtherSize, OtherContent, FileGone, Barred, Unreadable.
    """
    parts = _parts(upload, part_ids)
    if (came := sum(part.size for part in parts)) != upload.declared_size:
        raise OtherSize(came)
    writer = FileWriter(owner, FilePurpose(upload.purpose), name_of(upload))
    try:
        found = _copied(parts, writer)
        if checksum and found != checksum.lower():
            raise OtherContent
        with tenant_scope(owner.tenant_id):
            file = writer.finish(upload.expires_after_s)
            if not cancel(upload):  # somebody else has completed it, or cancelled
                raise FileGone
    except BaseException:
        writer.discard()
        raise
    return file


def cancel(upload: File) -> bool:
    """Within the tenant's scope. False where it is over already."""
    deleted, _rows = File.objects.pending().filter(pk=upload.pk).delete()
    return bool(deleted)


def _parts(upload: File, ids: list[UUID]) -> list[File]:
    """In this order."""
    with tenant_scope(upload.tenant_id):
        found = {part.pk: part for part in File.objects.filter(part_of=upload, pk__in=ids)}
        is_there = File.objects.pending().filter(pk=upload.pk).exists()
    if len(found) != len(ids):
        raise NoSuchPart if is_there else FileGone
    return [found[pk] for pk in ids]


def _copied(parts: list[File], writer: FileWriter) -> str:
    """Their MD5, as OpenAI's clients send it."""
    digest = md5(usedforsecurity=False)
    try:
        for part in parts:
            for piece in FileReader(part).pieces():
                digest.update(piece)
                writer.write(piece)
    except FileChunk.DoesNotExist:  # somebody else is faster
        raise FileGone from None
    return digest.hexdigest()
