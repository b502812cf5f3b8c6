"""Room for a tenant's checkpoints: those of ended jobs give way, those of others stay."""

import os
from pathlib import Path
from typing import Any

import pytest
from pytest_django.fixtures import Settings

from inference.jobs import job_checkpoint_files
from inference.models import Job, JobCheckpoint
from infrastructure.objects.content import ContentStore
from tenants.models import Tenant
from tests.inference.jobs.works import Works, in_database, rows


async def with_files(job: Job) -> int:
    """Returns how many checkpoints of a job have their files."""
    checkpoints = await rows(JobCheckpoint.objects.filter(job=job).exclude(files=[]))
    return len(checkpoints)


async def test_checkpoints_of_ended_jobs_give_way_to_those_that_run(
    works: Works, globex: Tenant, settings: Settings
) -> None:
    theirs = await works.create(steps=2, save_every=2, tenant=globex)
    first = await works.create(steps=2, save_every=2)
    works.start()
    for job in (theirs, first):
        await works.reaches(job, "succeeded")
    assert [await with_files(job) for job in (theirs, first)] == [1, 1]
    (stored,) = await rows(JobCheckpoint.objects.filter(job=first).values_list("size", flat=True))
    settings.CHECKPOINTS_BYTES = stored + stored // 2  # of one job, and not of two
    second = await works.create(steps=2, save_every=2)
    await works.reaches(second, "succeeded")
    assert [await with_files(job) for job in (theirs, first, second)] == [1, 0, 1]
    files = ContentStore.open(settings.JOB_STORE).stored(job_checkpoint_files._owner(first))
    assert list(files) == []


async def test_without_room_a_job_pauses_and_goes_on_with_it(
    works: Works, settings: Settings
) -> None:
    settings.CHECKPOINTS_BYTES = 10
    job = await works.create(steps=4, save_every=2)
    works.start()
    job = await works.reaches(job, "paused", order=False)
    assert job.reason == "checkpoints_full"
    assert job.gpu_ms > 0, "else one could train for nothing without room"
    assert not await in_database(JobCheckpoint.objects.exists)()
    settings.CHECKPOINTS_BYTES = 10**9
    await works.act(job, "resume")
    await works.reaches(job, "succeeded")
    assert works.steps()[-4:] == [1, 2, 3, 4]


async def test_without_room_for_its_result_no_step_is_free_and_none_is_done_again(
    works: Works, settings: Settings
) -> None:
    settings.TENANT_MODELS_BYTES = 1
    job = await works.create(steps=4, step_s=0.1, save_every=4)
    works.start()
    job = await works.reaches(job, "paused", order=False)
    assert job.reason == "registry_full"
    assert job.gpu_ms >= 400
    settings.TENANT_MODELS_BYTES = 10**9
    await works.act(job, "resume")
    await works.reaches(job, "succeeded")
    assert works.steps() == [1, 2, 3, 4]


async def test_a_file_that_a_later_checkpoint_has_too_stays(works: Works) -> None:
    job = await works.create(steps=6, save_every=2)
    works.start()
    await works.reaches(job, "succeeded")
    *_, last = await rows(JobCheckpoint.objects.filter(job=job).order_by("step"))
    earlier = await JobCheckpoint.objects.aget(pk=last.pk)
    earlier.pk, earlier.step, earlier._state.adding = None, 1, True
    await in_database(earlier.save)()
    used = await in_database(job_checkpoint_files._used)(earlier)
    assert await in_database(job_checkpoint_files._take_files)(earlier, used) == 0
    await in_database(job_checkpoint_files.restore)(job, last.files, works.folder / "restored")


def test_a_trainer_that_renames_its_folders_meanwhile_breaks_no_job(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`engine_failed` ended a job whose checkpoint got its name while its bytes were counted."""
    draft, earlier = tmp_path / "step-000004.part", tmp_path / "step-000002"
    for folder in (draft, earlier):
        folder.mkdir()
        (folder / "weights").write_bytes(b"12345")
    scandir = os.scandir

    def renamed_before(folder: Path) -> Any:
        if Path(folder) == draft:
            draft.rename(tmp_path / "step-000004")
        return scandir(folder)

    monkeypatch.setattr("os.scandir", renamed_before)
    assert job_checkpoint_files._size(tmp_path) == 5
