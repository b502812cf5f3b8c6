"""Files that a tenant has uploaded: to `/v1/files`, or in pieces in the console."""

from collections.abc import Collection, Iterator
from pathlib import Path, PurePosixPath
from uuid import UUID

from audit.keys.keyring import Unreadable
from inference.batch.encryption import name_of
from inference.batch.file_store import FileReader
from inference.model_registry import uploading
from inference.model_registry.contents import check_name
from inference.model_registry.headers.header import BadFile
from inference.model_registry.sources.progress import Budget
from inference.models import File, FileChunk
from tenants.scope import tenant_scope

MOST_FILES = 100


def write(tenant_id: UUID, ids: Collection[str], folder: Path, budget: Budget) -> list[Path]:
    """Write the files into an empty folder. Raises BadFile, Stopped, OSError."""
    try:
        return [_written(_row(tenant_id, pk), folder, budget) for pk in ids]
    except Unreadable:
        raise BadFile("an uploaded file cannot be read any more") from None
    except (File.DoesNotExist, FileChunk.DoesNotExist):
        raise BadFile("an uploaded file was deleted before it was read") from None


def _row(tenant_id: UUID, pk: str) -> File:
    with tenant_scope(tenant_id):
        return File.objects.get(tenant_id=tenant_id, pk=pk)


def _written(file: File, folder: Path, budget: Budget) -> Path:
    name = PurePosixPath(name_of(file).replace("\\", "/")).name
    check_name(name)
    path = folder / name
    try:
        with path.open("xb") as written:
            for piece in _pieces(file):
                budget.spend(len(piece))
                written.write(piece)
    except FileExistsError:
        raise BadFile(f"two files are called {name[:60]!r}") from None
    return path


def _pieces(file: File) -> Iterator[bytes]:
    with tenant_scope(file.tenant_id):
        parts = [file] if file.whole else uploading.parts(file)
    if not parts:
        raise File.DoesNotExist
    for part in parts:
        yield from FileReader(part).pieces()
