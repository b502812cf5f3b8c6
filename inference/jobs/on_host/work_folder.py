"""A job's folder on the host of its worker: data, checkpoints, output and the trainer's order.

It has clear texts, so only this account reads it, and it goes when the worker leaves the job. A
worker that is killed leaves it behind: the lock that it held is free then, and `remove_left_behind`
deletes the folder.
"""

import contextlib
import fcntl
import os
import re
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, TextIO
from uuid import UUID, uuid4

import orjson
from django.conf import settings

from inference.batch.file_store import FileReader
from inference.data_sets import prepared
from inference.jobs import job_checkpoint_files, parameters
from inference.jobs.job_checkpoint_files import Files
from inference.jobs.refusals import JobRefused
from inference.model_registry.opening import hold, local_copy
from inference.models import ChunkPart, DataSetVersion, File, Job, ModelVersion, VersionFormat
from tenants.scope import tenant_scope

_LOCK = ".lock"
_STEP = re.compile(r"step-(\d{6,})(-\w+)?")


class MaterialGone(Exception):
    """The base, a file or a data set of the job has been deleted. The argument says which."""


class WorkFolder:
    """One stay of a job on this host."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self.path: Path = settings.JOB_FOLDER / job.id.hex / uuid4().hex
        self.output, self.checkpoints = self.path / "output", self.path / "checkpoints"
        self.order = self.path / "order.json"
        self._lock: TextIO | None = None
        self._held: list[int] = []  # descriptors of copies of versions that stay on this host

    def furnish(self, files: Files) -> None:
        """Write everything that the trainer needs; `files` are those of the last checkpoint.

        Raises MaterialGone, StoreError, Unreadable, OSError.
        """
        self.remove()  # of a call that PostgreSQL broke off
        remove_left_behind()
        with _alone():  # else it would be taken for one that was left behind
            self.path.mkdir(parents=True, mode=0o700)
            self._lock = _locked(self.path)
        self.output.mkdir()
        if files:
            job_checkpoint_files.restore(self._job, files, self.checkpoints)
        else:
            self.checkpoints.mkdir()
        base, data = self._base(), self._data()
        order = {
            "kind": self._job.kind,
            "base": str(base) if base else None,
            "data": {name: str(path) for name, path in data.items()},
            "output": str(self.output),
            "checkpoints": str(self.checkpoints),
            "parameters": self._parameters(),
            "threads": settings.TRAINER_THREADS,
            "seed": self._job.seed,
        }
        self.order.write_bytes(orjson.dumps(order))

    def remove(self) -> None:
        _remove(self.path)
        while self._held:
            os.close(self._held.pop())
        if self._lock:
            self._lock.close()

    def checkpoint_names(self) -> frozenset[str]:
        """Returns the whole checkpoints here, by their paths within the folder.

        Such as step-000020, step-000020-m0003 within a step, and teacher/step-000020 of the
        trainer's earlier work in the same job.
        """
        # os.walk passes over folders that the trainer renames meanwhile, where rglob raises.
        walked = [(Path(folder), names) for folder, names, _files in os.walk(self.checkpoints)]
        whole = [path / name for path, names in walked for name in names if _STEP.fullmatch(name)]
        return frozenset(path.relative_to(self.checkpoints).as_posix() for path in whole)

    def _parameters(self) -> dict[str, Any]:
        try:
            return parameters.on_host(self._job, self.path / "data", self._keep)
        except JobRefused:
            raise MaterialGone("adapter or task set") from None

    def _base(self) -> Path | None:
        base_id = self._job.base_version_id
        if base_id is None:
            return None
        with tenant_scope(self._job.tenant_id):
            versions = ModelVersion.objects.visible_to(self._job.tenant_id).ready()
            version = versions.filter(pk=base_id).first()
        if version is None:
            raise MaterialGone("base")
        folder = self._keep(local_copy(version))
        files = list(folder.glob("*.gguf"))
        is_single = version.format == VersionFormat.GGUF and len(files) == 1
        return files[0] if is_single else folder

    def _keep(self, copy: Path) -> Path:
        """Returns a version's copy, which is not removed before this folder is."""
        self._held.append(hold(copy))
        return copy

    def _data(self) -> dict[str, Path]:
        folder = self.path / "data"
        folder.mkdir()
        if version_id := self._job.data_set_version_id:
            return self._rows(folder, version_id)
        files = {"train": self._job.training_file_id, "held_out": self._job.validation_file_id}
        return {name: self._file(folder / f"{name}.jsonl", pk) for name, pk in files.items() if pk}

    def _rows(self, folder: Path, version_id: UUID) -> dict[str, Path]:
        with tenant_scope(self._job.tenant_id):
            rows = DataSetVersion.objects.ready().select_related("data_set")
            version = rows.filter(pk=version_id).first()
        if version is None:
            raise MaterialGone("data set")
        paths = prepared.write_files(version, folder)
        names = {"train": ChunkPart.TRAIN, "held_out": ChunkPart.HELD_OUT}
        return {name: paths[part] for name, part in names.items() if part in paths}

    def _file(self, target: Path, pk: UUID) -> Path:
        with tenant_scope(self._job.tenant_id):
            file = File.objects.whole().filter(pk=pk).first()
        if file is None:
            raise MaterialGone("file")
        with target.open("wb") as copy:
            copy.writelines(FileReader(file).pieces())
        return target


def names_in(files: Files) -> frozenset[str]:
    """Returns the checkpoints that have these files, by their paths."""
    folders = {folder for name, *_rest in files for folder in Path(str(name)).parents}
    return frozenset(folder.as_posix() for folder in folders if _STEP.fullmatch(folder.name))


def remove_left_behind() -> None:
    """Delete the folders of workers on this host that were killed."""
    with _alone():
        for path in settings.JOB_FOLDER.glob("*/*"):
            with contextlib.suppress(OSError):
                if lock := _locked(path):
                    with lock:
                        _remove(path)


@contextlib.contextmanager
def _alone() -> Iterator[None]:
    """Lets one process of this host at a time make or remove folders."""
    settings.JOB_FOLDER.mkdir(parents=True, exist_ok=True)
    with (settings.JOB_FOLDER / _LOCK).open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _locked(path: Path) -> TextIO | None:
    """Returns the open lock of a folder, which ends with this process; None if another has it."""
    lock = (path / _LOCK).open("w")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        lock.close()
        return None
    return lock


def _remove(path: Path) -> None:
    shutil.rmtree(path, ignore_errors=True)
    with contextlib.suppress(OSError):  # another stay of the job has a folder there
        path.parent.rmdir()


def newest_step(names: Iterable[str]) -> int:
    """Returns the highest number among the names of checkpoints, 0 without any."""
    matches = [match for name in names if (match := _STEP.fullmatch(name.rpartition("/")[2]))]
    return max((int(match[1]) for match in matches), default=0)
