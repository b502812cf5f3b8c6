"""Fine-tuning jobs, their events and checkpoints in OpenAI's shape."""

import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any
from uuid import UUID

from inference.api.openai import stored_objects
from inference.api.openai.fine_tuning_fields import shown_hyperparameters
from inference.errors import must_be
from inference.jobs import texts
from inference.models import Job, JobCheckpoint, JobEvent, JobState, ModelVersion
from inference.models.job_progress import Level

_STATUS = {JobState.VALIDATING: "validating_files"}
_LEVELS = {Level.WARNING: "warn"}
MOST, USUAL = 1000, 20  # items of a page
EVENT, CHECKPOINT = "ftevent-", "ftckpt_"


def job(row: Job) -> dict[str, Any]:
    """Returns the job, in its tenant's scope."""
    own = texts.known(row)
    parameters = shown_hyperparameters(row.parameters)
    return {
        "id": row.public_id,
        "object": "fine_tuning.job",
        "created_at": _unix(row.created_at),
        "finished_at": _unix(row.ended_at),
        "estimated_finish": _estimated(row),
        "model": own.get("model") or row.base,
        "fine_tuned_model": _model(row),
        "organization_id": str(row.tenant_id),
        "status": _STATUS.get(JobState(row.state), row.state),
        "error": _error(row),
        "training_file": _file(row.training_file_id),
        "validation_file": _file(row.validation_file_id),
        "result_files": [],
        "trained_tokens": row.tokens or None,
        "hyperparameters": parameters,
        "method": {"type": "supervised", "supervised": {"hyperparameters": parameters}},
        "integrations": [],
        "seed": row.seed,
        "suffix": own.get("suffix"),
        "metadata": own.get("metadata"),
        "usage": {"gpu_seconds": row.gpu_ms / 1000, "cost": row.cost / 1_000_000},
    }


def _model(row: Job) -> str | None:
    made = row.result_version_id
    version = ModelVersion.objects.filter(pk=made).first() if made else None
    return str(version) if version else None


def _error(row: Job) -> dict[str, Any] | None:
    """Returns why it failed or is paused, with each problem of its data."""
    if row.state not in (JobState.FAILED, JobState.PAUSED) or not row.reason:
        return None
    first = row.problems[0] if row.problems else {}
    message = "; ".join(map(_words, row.problems)) or f"the job is paused: {row.reason}"
    return {"code": row.reason, "message": message, "param": first.get("param")}


def _words(problem: Mapping[str, Any]) -> str:
    line = problem.get("line")
    return f"line {line}: {problem['message']}" if line else str(problem["message"])


def _estimated(row: Job) -> int | None:
    rest = row.time_left
    running = row.state == JobState.RUNNING
    return int(time.time() + rest.total_seconds()) if rest is not None and running else None


def _file(pk: UUID | None) -> str | None:
    return f"file-{pk.hex}" if pk else None


def _unix(moment: Any) -> int | None:
    return int(moment.timestamp()) if moment else None


# Lists of a job: newest first, from a cursor that is the last item's id --------------------------
def events(row: Job, page: Mapping[str, str]) -> dict[str, Any]:
    """Returns the job's log. Raises BadRequest."""
    rows = JobEvent.objects.filter(job=row).order_by("-id")
    if after := page.get("after"):
        number = after.removeprefix(EVENT)
        if not (number.isascii() and number.isdigit() and len(number) < 19):
            raise must_be("after", "the id of an event")
        rows = rows.filter(id__lt=int(number))
    return _page(list(rows[: _limit(page) + 1]), page, _event)


def _event(row: JobEvent) -> dict[str, Any]:
    return {
        "id": f"{EVENT}{row.pk}",
        "object": "fine_tuning.job.event",
        "created_at": _unix(row.at),
        "level": _LEVELS.get(Level(row.level), row.level),
        "message": row.message,
        "type": "message",
        "data": {"code": row.code, **row.detail},
    }


def checkpoints(row: Job, page: Mapping[str, str]) -> dict[str, Any]:
    """Returns the job's checkpoints, the newest first. Raises BadRequest."""
    rows = JobCheckpoint.objects.filter(job=row).order_by("-step")
    if after := page.get("after"):
        rows = rows.filter(step__lt=_step(row, after))
    return _page(list(rows[: _limit(page) + 1]), page, _checkpoint)


def _step(row: Job, checkpoint_id: str) -> int:
    with suppress(ValueError):
        pk = UUID(hex=checkpoint_id.removeprefix(CHECKPOINT))
        steps = JobCheckpoint.objects.filter(job=row, pk=pk).values_list("step", flat=True)
        if (step := steps.first()) is not None:
            return step
    raise must_be("after", "the id of a checkpoint")


def _checkpoint(row: JobCheckpoint) -> dict[str, Any]:
    metrics = {"step": row.step, "train_loss": row.train_loss, "valid_loss": row.held_out_loss}
    job_id = f"ftjob-{row.job_id.hex}"
    return {
        "id": row.public_id,
        "object": "fine_tuning.job.checkpoint",
        "created_at": _unix(row.created_at),
        "fine_tuned_model_checkpoint": f"{job_id}:step-{row.step}",
        "fine_tuning_job_id": job_id,
        "metrics": {name: value for name, value in metrics.items() if value is not None},
        "step_number": row.step,
    }


def _limit(page: Mapping[str, str]) -> int:
    stored_objects.check_known(page, ("limit", "after"))
    text = page.get("limit", str(USUAL))
    if not (text.isascii() and text.isdigit() and len(text) < 9 and 1 <= int(text) <= MOST):
        raise must_be("limit", f"a number from 1 to {MOST}")
    return int(text)


def _page(
    rows: list[Any], page: Mapping[str, str], shape: Callable[[Any], dict[str, Any]]
) -> dict[str, Any]:
    limit = _limit(page)
    data = [shape(row) for row in rows[:limit]]
    ends = {"first_id": data[0]["id"], "last_id": data[-1]["id"]} if data else {}
    return {"object": "list", "data": data, **ends, "has_more": len(rows) > limit}
