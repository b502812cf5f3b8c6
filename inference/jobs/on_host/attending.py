"""What a worker reads and writes of a job while it has it, each call in the tenant's scope."""

from contextlib import suppress
from pathlib import Path
from typing import Any
from uuid import UUID

import msgspec
import orjson

from inference.jobs import job_checkpoint_files
from inference.jobs.job_checkpoint_files import Files
from inference.jobs.on_host import progress
from inference.jobs.on_host.events_file import Event
from inference.models import Job, JobCheckpoint, JobMetric, JobState
from inference.models.job import UNDER_WAY
from inference.order import Order
from infrastructure.objects.place import StoreError
from tenants.scope import tenant_scope


class Position(msgspec.Struct, frozen=True):
    """The point from which the trainer goes on: `files` are those of its checkpoints there."""

    step: int = 0
    files: Files = []
    is_over: bool = False  # the result is durable, too

    @classmethod
    def of(cls, state: bytes) -> "Position":
        return _decode(state) if state else cls()

    def packed(self) -> bytes:
        return msgspec.json.encode(self)


_decode = msgspec.json.Decoder(Position).decode


def begin(order: Order, position: Position) -> tuple[Job, Position] | None:
    """Returns the order's job and where it goes on; None if it does not want this order."""
    with tenant_scope(order.tenant_id):
        job = Job.objects.filter(pk=_job_id(order)).first()
        if job is None or not job.begin(order.id):
            return None
        if not position.files:  # the first step of an order: an earlier one may have got further
            position = _last(job)
        progress.drop_beyond(job, position.step)
        progress.note(job, "started", f"started at step {position.step}", step=position.step)
        return job, position


def _job_id(order: Order) -> UUID:
    return UUID(hex=orjson.loads(order.body)["job"])


def _last(job: Job) -> Position:
    row = JobCheckpoint.objects.filter(job=job).exclude(files=[]).order_by("-step").first()
    return Position(row.step, row.files) if row else Position()


def wants(job: Job, order_id: UUID) -> str:
    """Returns the job's state; "" if it is gone, or has another order."""
    with tenant_scope(job.tenant_id):
        rows = Job.objects.filter(pk=job.pk, order_id=order_id).values_list("state", flat=True)
        return rows.first() or ""


def is_wanted(state: str) -> bool:
    return state in UNDER_WAY


def is_paused(state: str) -> bool:
    return state == JobState.PAUSED


def is_ended_by_people(state: str) -> bool:
    return state in (JobState.PAUSED, JobState.CANCELLED)


def write(job: Job, events: list[Event], active_ms: int) -> None:
    with tenant_scope(job.tenant_id):
        progress.write(job, events, active_ms)


def note(job: Job, code: str, message: str, level: str = "info") -> None:
    with tenant_scope(job.tenant_id):
        progress.note(job, code, message, level)


def store(job: Job, folder: Path) -> Files:
    """Store the trainer's checkpoints. Raises Full, StoreError, OSError."""
    with tenant_scope(job.tenant_id):
        job_checkpoint_files.make_room(job, folder)
    return job_checkpoint_files.store(job, folder)


def note_checkpoint(order: Order, position: Position) -> None:
    """Have the checkpoint that counts in the job's list. It may be repeated."""
    with tenant_scope(order.tenant_id):
        job = Job.objects.filter(pk=_job_id(order)).first()
        if job is None or not position.files:
            return
        point = JobMetric.objects.filter(job=job, step__lte=position.step).order_by("-step").first()
        fields: dict[str, Any] = {
            "tenant_id": job.tenant_id,
            "files": position.files,
            "size": sum(int(size) for _name, _digest, size in position.files),
            "train_loss": point.train_loss if point else None,
            "held_out_loss": point.held_out_loss if point else None,
        }
        JobCheckpoint.objects.update_or_create(job=job, step=position.step, defaults=fields)
        with suppress(StoreError):  # the next checkpoint, or the end of the row, deletes them
            job_checkpoint_files.keep_newest(job)


def note_failure(job: Job, code: str, message: str) -> None:
    """Keep why it fails, for the driver that reads the order's settlement."""
    with tenant_scope(job.tenant_id):
        Job.objects.filter(pk=job.pk).update(problems=[{"code": code, "message": message}])
        progress.note(job, code, message, "error")
