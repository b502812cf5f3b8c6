"""A job pauses when its creator loses access, whether it waits or runs."""

from collections.abc import Callable
from datetime import timedelta
from uuid import UUID

import pytest
from django.utils import timezone

from audit.models import DeletionMode, DeletionRequest, DeletionState
from inference import engines
from inference.engine_entries import EngineEntry
from inference.jobs import driving
from inference.jobs.creating import JobOwner
from inference.models import Completion, Job
from inference.worker.recovery import sweeper
from tenants.models import ApiKey, Member, Tenant, User
from tenants.roles import Role
from tests import people
from tests.inference.jobs.works import Works, in_database


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(driving, "LOOK_AT_ACCESS", timedelta(seconds=0.2))


def revoke(job: Job) -> None:
    ApiKey.objects.get(tenant=job.tenant_id).revoke(by="test")


def leave(job: Job) -> None:
    Member.objects.get(tenant=job.tenant_id).remove(by="test")


def get_a_weak_role(job: Job) -> None:
    Member.objects.get(tenant=job.tenant_id).change_role(Role.AUDITOR, by="test")


def be_disabled(job: Job) -> None:
    User.objects.update(is_active=False)


def suspend(job: Job) -> None:
    Tenant.objects.get(pk=job.tenant_id).suspend(by="test", reason="unpaid")


def restrict(job: Job) -> None:
    DeletionRequest.objects.create(
        tenant_id=job.tenant_id,
        subject_id=job.subject_id,
        mode=DeletionMode.RESTRICT,
        state=DeletionState.APPROVED,
        requested_at=timezone.now(),
        started_at=timezone.now(),
        due_at=timezone.now(),
    )


def give_the_model_away(job: Job) -> None:
    fields = {"kind": "openai", "url": "http://127.0.0.1:9/v1"}
    entry = EngineEntry(job.model, job.pool, "gpu-1", fields, only_for=UUID(int=1))
    engines.put_in_force([entry])


def member_of(tenant: Tenant) -> JobOwner:
    bob = people.join(tenant, "bob@acme.example", Role.DEVELOPER)
    return JobOwner(tenant.id, bob.subject_id, bob.actor, member_id=bob.pk)


@pytest.mark.parametrize(
    ("lose", "reason"),
    [
        (revoke, "access_revoked"),
        (leave, "access_revoked"),
        (get_a_weak_role, "access_revoked"),
        (be_disabled, "access_revoked"),
        (suspend, "tenant_suspended"),
        (restrict, "restricted"),
        (give_the_model_away, "access_revoked"),
    ],
)
async def test_a_waiting_job_pauses(works: Works, lose: Callable[[Job], None], reason: str) -> None:
    of_member = lose in (leave, get_a_weak_role, be_disabled)
    owner = await in_database(member_of)(works.bench.acme) if of_member else None
    job = await works.create(steps=2, owner=owner)
    job = await works.reaches(job, "queued", order=True)
    await in_database(lose)(job)
    job = await works.reaches(job, "paused", order=False)
    assert job.reason == reason
    assert not await in_database(Completion.objects.open().exists)()
    assert await works.bill() == (0, 0)
    engines.forget()


async def test_a_running_job_pauses_with_its_last_step_and_goes_on_with_access(
    works: Works,
) -> None:
    job = await works.create(steps=30, step_s=0.2, save_every=100)
    works.start()
    job = await works.reaches(job, "running", step=2)
    await in_database(restrict)(job)
    paused = await works.reaches(job, "paused", order=False)
    assert paused.reason == "restricted"
    await in_database(DeletionRequest.objects.update)(state=DeletionState.DONE)
    await works.act(job, "resume")
    job = await works.reaches(job, "succeeded")
    assert works.steps() == list(range(1, 31))
    assert (job.gpu_ms, job.cost) == await works.bill()


def rotate(key: ApiKey) -> None:
    key.rotate(by="test", overlap=timedelta(0))


def manage_alone(key: ApiKey) -> None:
    key.change(by="test", scopes=["management:read", "management:write"])


@pytest.mark.parametrize("change", [rotate, manage_alone])
async def test_a_job_whose_key_asks_for_nothing_goes_on(
    works: Works, change: Callable[[ApiKey], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The key that replaced it stands for it, and who manages may start jobs."""
    monkeypatch.setattr(sweeper, "AFTER", timedelta(0))
    job = await works.create(steps=4, step_s=0.1)
    job = await works.reaches(job, "queued", order=True)
    key = await in_database(ApiKey.objects.get)(tenant=job.tenant_id)
    await in_database(change)(key)
    for _ in range(3):
        await in_database(sweeper.end_revoked)()
    works.start()
    job = await works.reaches(job, "succeeded")
    assert works.steps() == [1, 2, 3, 4]
    assert job.orders == 1
