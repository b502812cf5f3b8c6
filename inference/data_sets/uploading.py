"""An upload: encrypted pieces in order, read by a background process once it is complete."""

from django.db import transaction

from inference.data_sets.chunks import store
from inference.models import (
    ChunkPart,
    DataSet,
    DataSetChunk,
    DataSetFormat,
    DataSetSource,
    DataSetState,
    DataSetVersion,
    File,
)
from tenants.models.model_changes import lock

LARGEST_PIECE = 8 * 1024 * 1024  # bytes
PATIENCE_H = 24  # an upload that is not complete is given up after that


class NotUploading(Exception):
    """The upload is complete, or the version has no upload."""


class WrongPiece(Exception):
    """Pieces come in order. `expected` is the number of the next one."""

    def __init__(self, expected: int) -> None:
        super().__init__(expected)
        self.expected = expected


def begin(data_set: DataSet, form: DataSetFormat, *, by: str) -> DataSetVersion:
    """Add a version that takes pieces. Raises ValidationError."""
    state = DataSetState.UPLOADING
    return data_set.add_version(by=by, source=DataSetSource.UPLOAD, form=form, state=state)


@transaction.atomic
def add_piece(version: DataSetVersion, number: int, content: bytes) -> None:
    """Store a piece; the last one may be sent again. Raises NotUploading, WrongPiece, TooLarge,
    StorageFull.
    """
    lock(version)
    if version.state != DataSetState.UPLOADING:
        raise NotUploading
    pieces = version.chunks.filter(part=ChunkPart.UPLOAD)
    last = pieces.order_by("-number").first()
    expected = last.number + 1 if last else 0
    if last and number == last.number and last.size == len(content):
        return
    if number != expected:
        raise WrongPiece(expected)
    chunk = DataSetChunk(version=version, part=ChunkPart.UPLOAD, number=number)
    store(chunk, content, uploaded_bytes(version) + len(content))


@transaction.atomic
def finish(version: DataSetVersion) -> None:
    """Have the upload read. Raises NotUploading."""
    lock(version)
    if version.state != DataSetState.UPLOADING:
        raise NotUploading
    version.state = DataSetState.IMPORTING
    version.save(update_fields=["state"])


def from_file(data_set: DataSet, file: File, form: DataSetFormat, *, by: str) -> DataSetVersion:
    """Add a version that is read from a file of /v1/files. Raises ValidationError."""
    return data_set.add_version(
        by=by,
        source=DataSetSource.FILE,
        form=form,
        state=DataSetState.IMPORTING,
        source_file_id=file.pk,
    )


def uploaded_bytes(version: DataSetVersion) -> int:
    return sum(version.chunks.filter(part=ChunkPart.UPLOAD).values_list("size", flat=True))
