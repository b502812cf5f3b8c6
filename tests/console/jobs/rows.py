"""Rows of jobs as the platform writes them, without a trainer."""

from typing import Any
from uuid import uuid4

from inference.jobs.on_host.progress import note, write
from inference.models import Job, JobCheckpoint, JobKind, JobState
from tenants.models import Tenant


def a_job(tenant: Tenant, state: str = JobState.QUEUED, **fields: Any) -> Job:
    own: dict[str, Any] = {
        "kind": JobKind.FINE_TUNE,
        "base": "tiny@1",
        "model": "mock",
        "pool": "mock",
        "actor": "test",
        "subject_id": uuid4(),
        "data_key_id": uuid4(),
        **fields,
    }
    return Job.objects.create(tenant=tenant, state=state, **own)


def learned(job: Job, steps: int, of: int = 20, since: int = 0) -> None:
    """Write the points of steps, as its worker does once for each."""
    for step in range(since + 1, since + steps + 1):
        point = {
            "type": "metric",
            "step": step,
            "epoch": step / of,
            "train_loss": 4 / step,
            "held_out_loss": 5 / step if step % 5 == 0 else None,
            "learning_rate": 4e-4,
            "tokens": 1000 * step,
        }
        progress = {"type": "progress", "done": step, "of": of, "unit": "steps"}
        write(job, [point, progress], active_ms=2000 * step)
    note(job, "started", f"started at step {since}")
    job.refresh_from_db()


def a_checkpoint(job: Job, step: int, **fields: Any) -> JobCheckpoint:
    return JobCheckpoint.objects.create(tenant_id=job.tenant_id, job=job, step=step, **fields)
