"""Estimates a job before it begins.

GPU time follows the tenant's own earlier jobs of the kind; without any it is not known.
"""

from dataclasses import dataclass
from typing import Any

from inference.jobs.planning import plans
from inference.jobs.planning.plans import Memory, Plan
from inference.models import DataSetVersion, Job, JobState, ModelVersion

LATEST = 5  # jobs whose pace counts


@dataclass(frozen=True, slots=True)
class Estimate:
    """None: not known."""

    steps: int | None
    memory: Memory | None
    gpu_ms: int | None
    measured: int  # earlier jobs whose pace it follows


def estimate(plan: Plan, tenant_id: Any) -> Estimate:
    """Returns what the job is likely to take, in the tenant's scope."""
    work, paces = _work(plan), _paces(plan, tenant_id)
    gpu_ms = round(work * sum(paces) / len(paces)) if work and paces else None
    return Estimate(plans.steps(plan), plans.memory(plan), gpu_ms, len(paces))


def _work(plan: Plan, done_steps: int | None = None) -> float:
    """Returns a number to which the GPU time is about proportional."""
    size = float(plan.base.parameters or plan.base.size) if plan.base else 1.0
    if plan.trains:
        own, count = plan.settings, done_steps or plans.steps(plan) or 0
        return size * count * float(own["batch"]) * plans.tokens_of_sequence(plan)
    return size * plans.characters(plan.data) if plan.data else size


def _paces(plan: Plan, tenant_id: Any) -> list[float]:
    """Returns GPU milliseconds for a unit of work, of the latest jobs: on the same base, if any."""
    rows = Job.objects.filter(tenant_id=tenant_id, kind=plan.kind, active_ms__gt=0, done__gt=0)
    if not plan.trains:
        rows = rows.filter(state=JobState.SUCCEEDED)
    on_base = rows.filter(base_version_id=plan.base.pk) if plan.base else rows
    latest = (on_base if on_base.exists() else rows).order_by("-created_at")[:LATEST]
    works = ((job.active_ms, _work(_plan_of(job), job.done)) for job in latest)
    return [active_ms / work for active_ms, work in works if work]


def _plan_of(job: Job) -> Plan:
    bases, sets = ModelVersion.objects.all(), DataSetVersion.objects.all()
    base = bases.filter(pk=job.base_version_id).first() if job.base_version_id else None
    data = sets.filter(pk=job.data_set_version_id).first() if job.data_set_version_id else None
    return Plan(job.kind, base, data, job.parameters)
