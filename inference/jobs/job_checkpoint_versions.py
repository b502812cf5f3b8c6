"""Makes a version of a checkpoint: of its adapter at once, of a whole model by an import."""

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from inference.jobs import job_checkpoint_files
from inference.jobs.job_checkpoint_files import Files, Poisoned
from inference.jobs.on_host.work_folder import newest_step
from inference.jobs.results import licence_of, mark_erased, result_name
from inference.model_registry import importing
from inference.model_registry.headers.header import BadFile
from inference.model_registry.registering import register, scope_of
from inference.model_registry.sources.progress import Budget
from inference.models import Job, JobCheckpoint, JobKind, ModelVersion, VersionKind

SOURCE, _ADAPTER, _MODEL = "checkpoint", "adapter", "model"
_GONE = "the checkpoint has no files any more"


class NoFiles(Exception):
    """The checkpoint is older than those that keep their files."""


class NoWeights(Exception):
    """The checkpoint has neither an adapter nor a model."""


@dataclass(frozen=True, slots=True)
class CheckpointSource:
    checkpoint: JobCheckpoint

    def check(self, *, by_tenant: bool) -> None:
        """A row of the tenant's own needs no check."""

    @property
    def row(self) -> dict[str, Any]:
        return {"type": SOURCE, "checkpoint": str(self.checkpoint.pk)}


def register_checkpoint(checkpoint: JobCheckpoint, *, by: str) -> ModelVersion:
    """Register the weights of a checkpoint; the same ones again are the same version.

    A whole model is large: the jobs process copies it, and its version is importing until then.
    Raises NoFiles, NoWeights, BadFile, RegistryFull, StoreError, ValidationError.
    """
    if not checkpoint.files:
        raise NoFiles
    if adapter := _files_of(checkpoint, _ADAPTER):
        return _registered_adapter(checkpoint, adapter, by)
    if not _files_of(checkpoint, _MODEL):
        raise NoWeights
    with scope_of(checkpoint.job.tenant_id):
        return _imported_model(checkpoint, by)


def fetch(version: ModelVersion, folder: Path, budget: Budget) -> Path:
    """Write the model of a version's checkpoint. Raises BadFile, Stopped, OSError, StoreError."""
    with scope_of(version.tenant_id):
        rows = JobCheckpoint.objects.filter(pk=version.source["checkpoint"])
        checkpoint = rows.select_related("job").first()
    files = _files_of(checkpoint, _MODEL) if checkpoint else []
    if not (checkpoint and files):
        raise BadFile(_GONE)
    budget.spend(sum(int(size) for _name, _digest, size in files))
    try:
        job_checkpoint_files.restore(checkpoint.job, files, folder / _MODEL)
    except (FileNotFoundError, Poisoned):
        raise BadFile(_GONE) from None
    mark_erased(checkpoint.job, version)
    return folder / _MODEL


def _registered_adapter(checkpoint: JobCheckpoint, files: Files, by: str) -> ModelVersion:
    job = checkpoint.job
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / _ADAPTER
        job_checkpoint_files.restore(job, files, target)
        version = register(
            tenant_id=job.tenant_id,
            name=_name(checkpoint),
            folder=target,
            kind=VersionKind.ADAPTER,
            made_by_job=job.id,
            by=by,
            **_lineage(job),
        )
    mark_erased(job, version)
    return version


def _imported_model(checkpoint: JobCheckpoint, by: str) -> ModelVersion:
    job, name = checkpoint.job, _name(checkpoint)
    before = ModelVersion.objects.of(job.tenant_id).present().filter(name=name, made_by_job=job.id)
    return before.first() or importing.begin(
        tenant_id=job.tenant_id,
        name=name,
        kind=VersionKind.DISTILLED if job.kind == JobKind.DISTIL else VersionKind.FULL,
        source=CheckpointSource(checkpoint),
        made_by_job=job.id,
        by=by,
        **_lineage(job),
    )


def _name(checkpoint: JobCheckpoint) -> str:
    return f"{result_name(checkpoint.job)[:60]}-step-{checkpoint.step}"


def _lineage(job: Job) -> dict[str, Any]:
    return {
        "parents": [job.base_version_id] if job.base_version_id else [],
        "data_set_versions": [job.data_set_version_id] if job.data_set_version_id else [],
        "licence": licence_of(job),
    }


def _files_of(checkpoint: JobCheckpoint, weights: str) -> Files:
    """Returns the files of its newest folder, by their names within the adapter or model.

    Folders in folders are of what the trainer did before, such as the teacher of a student.
    """
    folders: dict[str, Files] = {}
    for name, digest, size in checkpoint.files:
        folder, slash, rest = str(name).partition(f"/{weights}/")
        if slash and folder.startswith("step-") and "/" not in folder:
            folders.setdefault(folder, []).append([rest, digest, size])
    newest = max(folders, key=lambda folder: (newest_step([folder]), folder), default="")
    return folders.get(newest, [])
