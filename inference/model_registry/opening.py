"""Brings the files of a version onto this host, verified, and keeps them within a bound.

Where the store is a folder on the same disk, the copies are hard links and take no room. A copy
that is held, served or was opened lately is not removed for others.
"""

import fcntl
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from uuid import UUID

from django.conf import settings

from inference.model_registry import manifest
from inference.model_registry.registering import scope_of
from inference.model_registry.storage import store
from inference.models import Engine, ModelFile, ModelVersion, VersionState

_DRAFT = ".part"
RECENT_S = 900  # a copy that was opened so lately is not removed: its reader may not have begun


class NotThere(Exception):
    """The version is not ready, or was deleted."""


class NoRoom(Exception):
    """The copies on this host fill FOREBAY_MODEL_COPIES_BYTES, and all of them are in use."""


def local_copy(version: ModelVersion) -> Path:
    """Returns a folder on this host with the version's files, which nobody may change.

    It stays while an engine serves it, while somebody holds it (`hold`), and for 15 minutes after
    each call. Raises NotThere, NoRoom, Tampered, Damaged, StoreError, OSError.
    """
    files = _files(version)
    folder = settings.MODEL_COPIES / str(version.pk)
    with _alone(folder):
        if not folder.exists():
            make_room(sum(file.size for file in files))
            _copy(version, files, folder)
        os.utime(folder)
    return folder


def hold(folder: Path) -> int:
    """Keep a copy on this host until the returned descriptor is closed. Raises OSError.

    A process that dies leaves nothing held.
    """
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    fcntl.flock(descriptor, fcntl.LOCK_SH)
    return descriptor


def _is_held(folder: Path) -> bool:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(descriptor)
    return False


def _files(version: ModelVersion) -> list[ModelFile]:
    with scope_of(version.tenant_id):
        rows = ModelVersion.objects.filter(pk=version.pk, state=VersionState.READY)
        if (current := rows.first()) is None:
            raise NotThere(str(version))
        manifest.check(current)
        return list(current.files.all())


def _copy(version: ModelVersion, files: list[ModelFile], folder: Path) -> None:
    """Make the folder whole, or not at all."""
    draft = folder.with_name(f"{folder.name}{_DRAFT}")
    shutil.rmtree(draft, ignore_errors=True)
    for file in files:
        target = draft / file.name
        target.parent.mkdir(parents=True, exist_ok=True)
        store().copy(version.owner, file.sha256, target)
        target.chmod(0o444)
    draft.rename(folder)


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Lets one process of this host at a time make or remove a copy."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with (folder.parent / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def make_room(size: int) -> None:
    """Remove copies, the least recently opened first, until `size` bytes fit. Raises NoRoom."""
    _remove_drafts()
    copies = sorted(_copies(), key=lambda folder: folder.stat().st_mtime)
    sizes = {folder: _size(folder) for folder in copies}
    excess = sum(sizes.values()) + size - settings.MODEL_COPIES_BYTES
    served = _served()
    for folder in copies:
        if excess <= 0:
            return
        recent = time.time() - folder.stat().st_mtime < RECENT_S
        if not (recent or folder.name in served or _is_held(folder)):
            shutil.rmtree(folder)
            excess -= sizes[folder]
    if excess > 0:
        raise NoRoom


def remove_copy(version_id: UUID) -> None:
    """Remove the copy of a deleted version from this host."""
    folder = settings.MODEL_COPIES / str(version_id)
    if folder.exists():
        with _alone(folder):
            shutil.rmtree(folder, ignore_errors=True)


def remove_stale() -> None:
    """Remove copies of deleted versions and of killed processes, in the system's scope."""
    with _alone(settings.MODEL_COPIES / "any"):
        _remove_drafts()
    copies = list(_copies())  # before the rows: a version may become ready meanwhile
    ready = {str(pk) for pk in ModelVersion.objects.ready().values_list("pk", flat=True)}
    for folder in copies:
        if folder.name not in ready:
            remove_copy(UUID(folder.name))


def _remove_drafts() -> None:
    """Remove what killed processes had begun: who copies is alone, and this one is."""
    for draft in settings.MODEL_COPIES.glob(f"*{_DRAFT}"):
        shutil.rmtree(draft, ignore_errors=True)


def _copies() -> Iterator[Path]:
    for folder in settings.MODEL_COPIES.glob("*"):
        with suppress(ValueError):  # no copy, such as lost+found or a draft
            if folder.is_dir() and folder.name == str(UUID(folder.name)):
                yield folder


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _served() -> set[str]:
    """Returns the ids of versions that engines serve."""
    ids = Engine.objects.exclude(model_version_id=None).values_list("model_version_id", flat=True)
    return {str(pk) for pk in ids}
