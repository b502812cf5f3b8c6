"""Rows of models, and of jobs that made them."""

from datetime import timedelta
from uuid import UUID, uuid4

from django.utils import timezone

from inference.models import Job, JobKind, JobState, ModelVersion, VersionKind, VersionState
from tenants.models import Member, Tenant
from tests.inference.data_sets.conftest import BY


def a_model(tenant: Tenant, name: str, *parents: UUID, **fields: object) -> ModelVersion:
    made = ModelVersion.begin(
        tenant_id=tenant.pk,
        name=name,
        kind=VersionKind.ADAPTER,
        by=BY,
        parents=parents,
        **fields,  # type: ignore[arg-type]
    )
    ModelVersion.objects.filter(pk=made.pk).update(state=VersionState.READY)
    return made


def a_job(owner: Member, *data_subjects: UUID) -> Job:
    ended = timezone.now() - timedelta(days=500)
    return Job.objects.create(
        tenant=owner.tenant,
        subject_id=owner.subject_id,
        data_key_id=uuid4(),
        actor=owner.actor,
        kind=JobKind.FINE_TUNE,
        state=JobState.SUCCEEDED,
        model="m",
        pool="m",
        data_subjects=[str(one) for one in data_subjects],
        ended_at=ended,
    )
