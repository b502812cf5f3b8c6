"""The trainer's parameters of a job, checked before they are kept.

The trainer reads some parameters as paths. Whoever could name a path would have files of the
worker's host read, other tenants' among them. So these parameters name rows of the tenant, and the
job's folder on the host gets the paths (`on_host`).
"""

from collections.abc import Callable, Mapping
from math import isfinite
from pathlib import Path
from typing import Any
from uuid import UUID

from inference.evaluation.lines import as_lines
from inference.jobs import bases
from inference.jobs.refusals import JobRefused
from inference.model_registry.opening import local_copy
from inference.models import Job, JobKind, ModelVersion, TaskSet
from tenants.scope import tenant_scope

MOST, LONGEST_NAME, LONGEST_TEXT = 50, 40, 1000
LARGEST_NUMBER = 2**63 - 1
ADAPTER, TASKS = "adapter", "tasks"
# The parameters that the trainer reads as paths (trainer/kinds.py).
PATHS: dict[str, str] = {JobKind.CONVERT: ADAPTER, JobKind.SCORE: ADAPTER, JobKind.DISTIL: TASKS}


def checked(tenant_id: UUID, kind: str, parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the parameters, in the tenant's scope. Raises JobRefused."""
    if len(parameters) > MOST:
        raise _refusal(f"a job has at most {MOST} parameters")
    for name, value in parameters.items():
        if len(name) > LONGEST_NAME or not _is_plain(value):
            raise _refusal(f"`{name[:LONGEST_NAME]}` must be a text, a number, true, false or null")
    name = PATHS.get(kind, "")
    if parameters.get(name) is None:
        return dict(parameters)
    return {**parameters, name: _row(tenant_id, name, str(parameters[name]))}


def _is_plain(value: Any) -> bool:
    if isinstance(value, str):
        return len(value) <= LONGEST_TEXT
    if isinstance(value, int):
        return abs(value) <= LARGEST_NUMBER
    return value is None or (isinstance(value, float) and isfinite(value))


def _row(tenant_id: UUID, parameter: str, name: str) -> str:
    """Returns the full name of the row that the parameter names."""
    if parameter == ADAPTER:
        return str(bases.adapter_version(tenant_id, name))
    return str(_task_set(tenant_id, name))


def _task_set(tenant_id: UUID, name: str) -> TaskSet:
    stem, _at, number = name.partition("@")
    rows = TaskSet.objects.filter(tenant_id=tenant_id, name=stem).order_by("-number")
    if number:
        rows = rows.filter(number=int(number)) if bases.is_number(number) else rows.none()
    if (row := rows.first()) is None:
        raise _refusal(f"there is no task set `{name[:80]}`: publish it, or check its name")
    return row


def _refusal(text: str) -> JobRefused:
    return JobRefused(text, param="parameters")


def adapter_of(job: Job) -> ModelVersion | None:
    """Returns the adapter that a job reads, in the tenant's scope. Raises JobRefused."""
    name = job.parameters.get(ADAPTER) if PATHS.get(job.kind) == ADAPTER else None
    return bases.adapter_version(job.tenant_id, str(name)) if name is not None else None


def on_host(job: Job, folder: Path, keep: Callable[[Path], Path]) -> dict[str, Any]:
    """Returns the parameters with paths on this host, whose files are there or in `folder`.

    `keep` holds a copy of a version. Raises JobRefused for rows that were deleted, Unreadable, and
    what `local_copy` raises.
    """
    name = PATHS.get(job.kind, "")
    if job.parameters.get(name) is None:
        return dict(job.parameters)
    path = keep(_copied_adapter(job)) if name == ADAPTER else _written_tasks(job, folder)
    return {**job.parameters, name: str(path)}


def _copied_adapter(job: Job) -> Path:
    with tenant_scope(job.tenant_id):
        version = adapter_of(job)
    assert version
    return local_copy(version)


def _written_tasks(job: Job, folder: Path) -> Path:
    with tenant_scope(job.tenant_id):
        content = _task_set(job.tenant_id, str(job.parameters[TASKS])).content
    path = folder / "tasks.jsonl"
    path.write_bytes(as_lines(content.test_items))
    return path
