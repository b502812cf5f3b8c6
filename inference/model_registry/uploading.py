"""Uploads of models in the console: pieces in order, which the import puts together.

Each piece is a part of a file that is never whole: it counts in the tenant's stored files, and is
deleted after the import, or two hours after its upload began.
"""

from collections.abc import Collection
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.db.models import QuerySet, Sum

from inference.batch import upload_parts
from inference.batch.encryption import name_of
from inference.batch.file_store import FileOwner, FileWriter
from inference.models import File, FilePurpose
from tenants.models.model_changes import lock


class WrongPiece(Exception):
    """Pieces come in order. `expected` is the number of the next one."""

    def __init__(self, expected: int) -> None:
        super().__init__(expected)
        self.expected = expected


class TooLarge(Exception):
    """The upload has more bytes than a file may have."""


def begin(owner: FileOwner, name: str) -> File:
    """Create an upload that takes pieces. Raises Barred, TooManyFiles."""
    return upload_parts.begin(owner, name, 0, None, FilePurpose.MODEL)


@transaction.atomic
def add_piece(upload: File, owner: FileOwner, number: int, content: bytes) -> None:
    """Store a piece; the last one may be sent again.

    Raises WrongPiece, TooLarge, StorageFull, TooManyFiles, FileGone, Barred.
    """
    lock(upload)
    expected = upload.parts.count()
    if number == expected - 1:
        return
    if number != expected:
        raise WrongPiece(expected)
    stored = upload.parts.aggregate(size=Sum("size"))["size"] or 0
    if stored + len(content) > settings.LARGEST_FILE_BYTES:
        raise TooLarge
    writer = FileWriter(owner, FilePurpose.MODEL, str(number), is_limited=True, part_of=upload)
    writer.write(content)
    writer.finish_part()


def parts(upload: File) -> list[File]:
    """Returns its pieces in order. Raises Unreadable."""
    return sorted(upload.parts.all(), key=lambda part: int(name_of(part)))


def of_person(tenant_id: UUID, subject_id: UUID) -> QuerySet[File]:
    """Returns the uploads under way that this person has begun."""
    rows = File.objects.pending().filter(purpose=FilePurpose.MODEL, api_key=None)
    return rows.filter(tenant_id=tenant_id, subject_id=subject_id)


def forget(tenant_id: UUID, ids: Collection[str]) -> None:
    """Delete the pieces of an import that is over; files of `/v1/files` stay."""
    File.objects.filter(tenant_id=tenant_id, pk__in=ids, whole=False).delete()
