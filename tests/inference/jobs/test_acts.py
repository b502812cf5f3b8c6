"""What people do with a job: pausing, resuming again and again, cancelling at any state."""

import asyncio
import threading
import time
from pathlib import Path

import pytest

from audit.models import Event
from inference.jobs import job_checkpoint_files
from inference.models import Completion, Job, JobCheckpoint, JobMetric
from inference.models.job import WrongState
from tests.inference.jobs.works import Works, in_database, rows


async def test_a_paused_job_keeps_its_last_step_and_goes_on_from_there(works: Works) -> None:
    """Again and again, on an idle runner that its resumption wakes."""
    job = await works.create(steps=30, step_s=0.2, save_every=100)
    works.start()
    for times in range(1, 4):
        await works.reaches(job, "running", step=3 * times)
        await works.act(job, "pause")
        paused = await works.reaches(job, "paused", order=False)
        kept = await in_database(JobCheckpoint.objects.filter(job=job).latest)("step")
        assert kept.step == paused.done
        await works.act(job, "resume")
    job = await works.reaches(job, "succeeded")
    assert works.steps() == list(range(1, 31)), "no step is done twice"
    assert job.orders == 4
    assert (job.gpu_ms, job.cost) == await works.bill()
    actions = Event.objects.filter(detail__job=job.public_id).values_list("action", flat=True)
    assert sorted(await rows(actions)) == sorted(
        ["job:create", *["job:pause", "job:resume"] * 3, "job:succeed"]
    )


async def test_a_waiting_job_that_is_paused_leaves_its_queue(works: Works) -> None:
    job = await works.create(steps=2)
    await works.reaches(job, "queued")
    await works.act(job, "pause")
    job = await works.reaches(job, "paused", order=False)
    assert not await in_database(Completion.objects.open().exists)()
    assert await works.bill() == (0, 0)
    await works.act(job, "resume")
    works.start()
    await works.reaches(job, "succeeded")


@pytest.mark.parametrize("state", ["validating", "queued", "running", "paused"])
async def test_a_job_can_be_cancelled_at_any_state(works: Works, state: str) -> None:
    job = await works.create(steps=1000, step_s=0.1, save_every=1000)
    if state in ("running", "paused"):
        works.start()
        await works.reaches(job, "running", step=1)
    elif state == "queued":
        await works.reaches(job, "queued")
    if state == "paused":
        await works.act(job, "pause")
        await works.reaches(job, "paused", order=False)
    await works.act(job, "cancel")
    job = await works.reaches(job, "cancelled", order=False)
    assert not await in_database(Completion.objects.open().exists)()
    assert (job.gpu_ms, job.cost) == await works.bill()
    for verb in ("pause", "resume", "cancel"):
        with pytest.raises(WrongState):
            await works.act(job, verb)


async def test_a_cancelled_job_ends_its_trainer_within_seconds(works: Works) -> None:
    job = await works.create(steps=1000, step_s=0.1, save_every=1000, deaf=True)
    works.start()
    await works.reaches(job, "running", step=2)
    await works.act(job, "cancel")
    await works.reaches(job, "cancelled", order=False)
    steps = len(works.lines())
    await asyncio.sleep(0.5)
    assert len(works.lines()) == steps


async def test_what_others_do_meanwhile_does_not_count_twice(works: Works) -> None:
    """Several drivers at once take a job one step further, not several."""
    job = await works.create(steps=4)
    await asyncio.gather(*(works.drive() for _ in range(4)))
    await works.reaches(job, "queued")
    assert (await in_database(Job.objects.get)(pk=job.pk)).orders == 1
    assert await in_database(Completion.objects.open().count)() == 1
    assert not await in_database(JobMetric.objects.exists)()


async def test_a_cancelled_job_pays_for_its_work_since_the_last_checkpoint(works: Works) -> None:
    job = await works.create(steps=1000, step_s=0.1, save_every=1000)
    works.start()
    await works.reaches(job, "running", step=10)
    await works.act(job, "cancel")
    job = await works.reaches(job, "cancelled", order=False)
    assert job.gpu_ms >= 10 * 100
    assert (job.gpu_ms, job.cost) == await works.bill()


async def test_a_job_that_is_resumed_before_its_order_is_settled_goes_on(works: Works) -> None:
    """The driver has taken the order out of its queue, and does not know yet that it is over."""
    job = await works.create(steps=2)
    await works.reaches(job, "queued", order=True)
    await works.act(job, "pause")
    await works.drive()
    await works.act(job, "resume")
    await works.drive()
    row = await in_database(Job.objects.get)(pk=job.pk)
    assert (row.state, row.reason) == ("queued", "")
    works.start()
    await works.reaches(job, "succeeded")


async def test_a_job_is_cancelled_while_its_checkpoint_is_stored(
    works: Works, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However slow the store is: an engine that is lent has its GPU back in time."""
    store, begun = job_checkpoint_files.store, threading.Event()

    def store_slowly(job: Job, folder: Path) -> job_checkpoint_files.Files:
        begun.set()
        time.sleep(4)
        return store(job, folder)

    monkeypatch.setattr(job_checkpoint_files, "store", store_slowly)
    job = await works.create(steps=10_000, step_s=0.05, save_every=5)
    works.start()
    await works.reaches(job, "running", step=1)
    await asyncio.to_thread(begun.wait, 30)
    await works.act(job, "cancel")
    await asyncio.sleep(2.5)
    steps = len(works.steps())
    await asyncio.sleep(1)
    assert len(works.steps()) == steps
    job = await works.reaches(job, "cancelled", order=False)
    assert 0 < job.gpu_ms < 4_000
