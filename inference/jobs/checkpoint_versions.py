"""Makes a version of a checkpoint's adapter, which then serves like any other."""

import tempfile
from pathlib import Path

from inference.jobs import checkpoint_files
from inference.jobs.checkpoint_files import Files
from inference.jobs.results import mark_erased, result_name
from inference.model_registry.registering import register
from inference.models import JobCheckpoint, ModelVersion, VersionKind

_ADAPTER = "adapter"


class NoFiles(Exception):
    """The checkpoint is older than those that keep their files."""


class NoAdapter(Exception):
    """The job trains no adapter."""


def register_checkpoint(checkpoint: JobCheckpoint, *, by: str) -> ModelVersion:
    """Register the adapter of a checkpoint; the same one again is the same version.

    Raises NoFiles, NoAdapter, BadFile, RegistryFull, StoreError.
    """
    job = checkpoint.job
    if not checkpoint.files:
        raise NoFiles
    own = _adapter_files(checkpoint)
    if not own:
        raise NoAdapter
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / _ADAPTER
        checkpoint_files.restore(job, own, target)
        version = register(
            tenant_id=job.tenant_id,
            name=f"{result_name(job)[:60]}-step-{checkpoint.step}",
            folder=target,
            kind=VersionKind.ADAPTER,
            parents=[job.base_version_id] if job.base_version_id else [],
            data_set_versions=[job.data_set_version_id] if job.data_set_version_id else [],
            made_by_job=job.id,
            by=by,
        )
    mark_erased(job, version)
    return version


def _adapter_files(checkpoint: JobCheckpoint) -> Files:
    """Returns the files of its newest folder, by their names within the adapter."""
    step = f"step-{checkpoint.step:06d}"
    folders: dict[str, Files] = {}
    for name, digest, size in checkpoint.files:
        folder, slash, rest = str(name).partition(f"/{_ADAPTER}/")
        if slash and folder.startswith(step):
            folders.setdefault(folder, []).append([rest, digest, size])
    return folders[max(folders)] if folders else []
