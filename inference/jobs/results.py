"""What kinds of jobs make of the trainer's output. Each may be called again after a crash."""

import json
import re
import shutil
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import UUID

from audit.models import DeletionRequest, DeletionState
from inference.data_sets import prepared, purging
from inference.jobs import texts
from inference.jobs.on_host.events_file import EventsFile
from inference.jobs.on_host.progress import note
from inference.jobs.parameters import adapter_of
from inference.jobs.refusals import JobRefused
from inference.model_registry.registering import register
from inference.models import (
    DataSetVersion,
    Job,
    JobKind,
    ModelVersion,
    VersionKind,
)
from tenants.scope import tenant_scope

BY = "system:job"
_TEXTS = ("samples", "examples")  # fields with texts of the data
LARGEST_REPORT = 4 << 20  # bytes, with samples, which are left out
_ERASED = (DeletionState.RUNNING, DeletionState.DONE)
_REPORT = "report.json"
_NO_NAME = re.compile(r"[^a-z0-9._-]+")


class NoResult(Exception):
    """The trainer ended well, and its output lacks what the kind owes."""


def finish_training(job: Job, output: Path) -> None:
    """Register the adapter, or the model where all weights were trained."""
    adapter, model = output / "adapter", output / "model"
    if adapter.is_dir():
        if (gguf := output / "adapter.gguf").is_file():
            shutil.copyfile(gguf, adapter / "adapter.gguf")  # for llama.cpp, beside vLLM's files
        return _register(job, output, adapter, VersionKind.ADAPTER)
    return _register(job, output, model, VersionKind.FULL)


def finish_distillation(job: Job, output: Path) -> None:
    _register(job, output, output / "model", VersionKind.DISTILLED)


def finish_quantisation(job: Job, output: Path) -> None:
    _register(job, output, _folder_or_file(output), VersionKind.QUANTISED)


def finish_conversion(job: Job, output: Path) -> None:
    """Register the converted files as what they were: another format is no other model."""
    with tenant_scope(job.tenant_id):
        adapter = _adapter(job)
    if adapter:
        _register(job, output, output / "adapter.gguf", VersionKind.ADAPTER, made_of=[adapter.pk])
        return
    base = _base(job)
    kind = VersionKind(base.kind) if base else VersionKind.BASE
    _register(job, output, _folder_or_file(output), kind)


def finish_preparation(job: Job, output: Path) -> None:
    """Make the next version of the data set; a job over a file has a report alone."""
    fields: dict[str, Any] = {"result": _report(output)}
    if parent := _data_set_version(job):
        made = prepared.register(parent, output, job_id=job.id, by=BY, since=_since(job))
        fields["result_data_set_version_id"] = made.pk
    _save(job, **fields)


def finish_scoring(job: Job, output: Path) -> None:
    """Register the calibrator of the scores where one was fitted; else there is a report alone."""
    calibrator = output / "calibrator"
    if not calibrator.is_dir():
        return _save(job, result=_report(output))
    with tenant_scope(job.tenant_id):
        adapter = _adapter(job)
    made_of = [adapter.pk] if adapter else []
    return _register(job, output, calibrator, VersionKind.CALIBRATOR, made_of)


def _adapter(job: Job) -> ModelVersion | None:
    """Returns the adapter that the job has converted. Raises NoResult."""
    try:
        return adapter_of(job)
    except JobRefused:
        raise NoResult("its adapter was deleted") from None


def _register(
    job: Job, output: Path, folder: Path, kind: VersionKind, made_of: Sequence[UUID] = ()
) -> None:
    if not folder.exists():
        raise NoResult(folder.name)
    sets = [job.data_set_version_id] if job.data_set_version_id else []
    version = register(
        tenant_id=job.tenant_id,
        name=result_name(job),
        folder=folder,
        kind=kind,
        parents=[pk for pk in (job.base_version_id, *made_of) if pk],
        data_set_versions=sets,
        licence=licence_of(job),
        made_by_job=job.id,
        by=BY,
    )
    mark_erased(job, version)
    figures = _report(output) | {"model": str(version)}
    _save(job, result=figures, result_version_id=version.pk)


def mark_erased(job: Job, version: ModelVersion) -> None:
    """Mark what a job has made if a person in its data was erased since it got them."""
    sets = [job.data_set_version_id] if job.data_set_version_id else []
    with tenant_scope(job.tenant_id):
        if sets and purging.purged_since(sets, _since(job)):
            version.mark("rows of an erased person were in its training data", by=BY)
        if _data_erased(job):
            version.mark("its training files are of a person who was erased", by=BY)


def result_name(job: Job) -> str:
    """Returns the registry's name of what the job makes: its suffix, else its kind."""
    usual = VersionKind.CALIBRATOR if job.kind == JobKind.SCORE else job.kind
    suffix = str(texts.known(job).get("suffix") or usual)
    base = _NO_NAME.sub("-", job.base.partition("@")[0].lower()).strip("-._")
    end = _NO_NAME.sub("-", suffix.lower()).strip("-._") or usual
    return f"{base[: 78 - len(end)]}-{end}".strip("-._")


def licence_of(job: Job) -> str:
    """Returns the base's licence, which holds for what is made of it."""
    base = _base(job)
    return base.licence if base else ""


def _base(job: Job) -> ModelVersion | None:
    if job.base_version_id is None:
        return None
    with tenant_scope(job.tenant_id):
        return ModelVersion.objects.filter(pk=job.base_version_id).first()


def _data_set_version(job: Job) -> DataSetVersion | None:
    if job.data_set_version_id is None:
        return None
    with tenant_scope(job.tenant_id):
        rows = DataSetVersion.objects.select_related("data_set")
        return rows.filter(pk=job.data_set_version_id).first()


def _data_erased(job: Job) -> bool:
    rows = DeletionRequest.objects.filter(tenant_id=job.tenant_id, state__in=_ERASED)
    return rows.filter(subject_id__in=job.data_subjects).exists()


def _since(job: Job) -> datetime:
    return job.started_at or job.created_at


def _folder_or_file(output: Path) -> Path:
    file = output / "model.gguf"
    return file if file.is_file() else output / "model"


def _report(output: Path) -> dict[str, Any]:
    """Returns the trainer's report and the figures of its last event, without texts and paths."""
    path = output / _REPORT
    report: Any = {}
    if path.is_file() and path.stat().st_size <= LARGEST_REPORT:
        report = json.loads(path.read_text(), parse_constant=_no_number)
    ends = [event for event in EventsFile(output).read() if event["type"] == "result"]
    figures = ends[-1] if ends else {}
    figures = {name: v for name, v in figures.items() if isinstance(v, int | float)}
    known = report.items() if isinstance(report, dict) else ()
    return {**figures, **{name: value for name, value in known if name not in _TEXTS}}


def _no_number(_constant: str) -> None:
    """Returns null for NaN and infinities, which no JSON has, and no jsonb takes."""


def _save(job: Job, **fields: Any) -> None:
    with tenant_scope(job.tenant_id):
        Job.objects.filter(pk=job.pk).update(**fields)
        if "result_version_id" in fields:
            note(job, "registered", f"registered as {fields['result']['model']}")
    job.refresh_from_db()
