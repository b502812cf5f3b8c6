"""Files of checkpoints in a store of objects, under an owner of the job's own (FOREBAY_JOB_STORE).

A checkpoint is stored before it counts, so one that counts can be restored on any worker.
"""

import contextlib
import os
import shutil
from datetime import timedelta
from functools import lru_cache
from pathlib import Path

from django.conf import settings
from django.db.models import QuerySet
from django.utils import timezone

from inference.models import Job, JobCheckpoint
from inference.models.job import OVER
from infrastructure.objects.content import ContentStore, Damaged, digest_of
from infrastructure.objects.place import StoreError

TRIES = 5
KEPT = 3  # checkpoints of a job that keep their files
DRAFT = timedelta(days=1)  # what was written to so long ago has lost its writer
Files = list[list[str | int]]  # [path, sha256, bytes]


class Poisoned(Exception):
    """A checkpoint names a file outside its folder, or has a symbolic link."""


class Full(Exception):
    """The checkpoints of the tenant's jobs under way fill FOREBAY_CHECKPOINTS_BYTES."""


@lru_cache(4)
def _opened(address: str) -> ContentStore:
    return ContentStore.open(address)


def _store() -> ContentStore:
    return _opened(settings.JOB_STORE)


def _owner(job: Job) -> str:
    return f"job-{job.id.hex}"


def store(job: Job, folder: Path) -> Files:
    """Store the files of a folder of checkpoints, but for those that are being written.

    The trainer may delete old ones meanwhile: then it begins again. Raises StoreError, OSError.
    """
    for _ in range(TRIES):
        with contextlib.suppress(FileNotFoundError, Damaged):
            return [_stored(job, path, folder) for path in _whole(folder)]
    return [_stored(job, path, folder) for path in _whole(folder)]


def _whole(folder: Path) -> list[Path]:
    paths = []
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder)
        if any(part.endswith(".part") for part in name.parts):
            continue
        if path.is_symlink():
            raise Poisoned(str(name))
        if path.is_file():
            paths.append(path)
    return paths


def _stored(job: Job, path: Path, folder: Path) -> list[str | int]:
    digest, size = digest_of(path), path.stat().st_size
    if not _store().has(_owner(job), digest):
        _store().put(_owner(job), digest, path)
    return [path.relative_to(folder).as_posix(), digest, size]


def make_room(job: Job, folder: Path) -> None:
    """Make room for a folder of checkpoints, in the tenant's scope.

    Checkpoints of ended jobs lose their files, the oldest first. Raises Full, StoreError.
    """
    rows = JobCheckpoint.objects.filter(tenant_id=job.tenant_id).exclude(files=[])
    others = rows.exclude(job=job)
    excess = _size(folder) + _stored_bytes(others) - settings.CHECKPOINTS_BYTES
    if excess <= 0:
        return
    ended = others.filter(job__state__in=OVER).select_related("job").order_by("created_at")
    for row in ended:
        excess -= _take_files(row, _used(row))
        if excess <= 0:
            return
    raise Full


def _stored_bytes(rows: QuerySet[JobCheckpoint]) -> int:
    """Returns the bytes of their files. Checkpoints of a job that have the same one share it."""
    sizes = {
        (job, digest): size
        for job, files in rows.values_list("job_id", "files")
        for _name, digest, size in files
    }
    return sum(sizes.values())


def _size(folder: Path) -> int:
    """Returns the bytes of a folder, in which the trainer may rename and delete meanwhile."""
    # os.walk passes over folders that are gone, where rglob raises.
    paths = (Path(walked, name) for walked, _folders, names in os.walk(folder) for name in names)
    total = 0
    for path in paths:
        with contextlib.suppress(FileNotFoundError):
            total += path.lstat().st_size
    return total


def _used(row: JobCheckpoint) -> set[str]:
    """Returns the files that other checkpoints of the same job have, too."""
    others = JobCheckpoint.objects.filter(job=row.job_id).exclude(pk=row.pk)
    return {str(digest) for other in others for _name, digest, _size in other.files}


def restore(job: Job, files: Files, folder: Path) -> None:
    """Make `folder` what was stored: whole, or not at all. Raises StoreError, FileNotFoundError."""
    draft = folder.with_name(f"{folder.name}.part")
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(parents=True)
    for name, digest, _size in files:
        target = draft / str(name)
        if not target.resolve().is_relative_to(draft.resolve()):
            raise Poisoned(str(name))
        target.parent.mkdir(parents=True, exist_ok=True)
        # A copy, not a link: the trainer may write into its own checkpoint.
        with target.open("xb") as file:
            for chunk in _store().read(_owner(job), str(digest)):
                file.write(chunk)
            file.flush()
            os.fsync(file.fileno())
        if digest_of(target) != digest:
            raise Poisoned(str(name))
    draft.rename(folder)


def keep_newest(job: Job) -> None:
    """Take the files from older checkpoints, in the tenant's scope. Raises StoreError."""
    rows = list(JobCheckpoint.objects.filter(job=job).exclude(files=[]).order_by("-step"))
    used = {digest for row in rows[:KEPT] for _name, digest, _size in row.files}
    for row in rows[KEPT:]:
        _take_files(row, used)


def _take_files(row: JobCheckpoint, used: set[str]) -> int:
    """Delete the files of a checkpoint but for those that others use. Raises StoreError.

    Returns their bytes.
    """
    own = {str(digest): int(size) for _name, digest, size in row.files if digest not in used}
    for digest in own:
        _store().delete(_owner(row.job), digest)
    row.files = []
    row.save(update_fields=["files"])
    return sum(own.values())


def delete_drafts() -> None:
    """Delete what killed workers had begun to store. A store that is away is tidied later."""
    with contextlib.suppress(StoreError):
        _store().delete_drafts(timezone.now() - DRAFT)


def forget(job: Job) -> None:
    """Delete all files of a job's checkpoints. Raises StoreError."""
    owner = _owner(job)
    for stored in list(_store().stored(owner)):
        _store().delete(owner, stored.sha256)
