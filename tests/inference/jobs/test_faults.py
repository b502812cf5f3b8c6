"""Faults: processes that die, full disks, a Redis without data, and quotas without room."""

import asyncio
import errno
import os
import time
from pathlib import Path

import pytest
from pytest_django.fixtures import Settings

from inference.jobs import job_checkpoint_files
from inference.jobs.on_host import stay
from inference.models import Checkpoint, Completion, Job, JobCheckpoint, JobEvent, JobMetric
from inference.worker.handlers import training
from inference.worker.recovery import restoring
from infrastructure.objects.place import StoreError
from tenants.models import Quota
from tests.inference.conftest import forget_pool
from tests.inference.jobs.scripted_trainer import tensors
from tests.inference.jobs.works import Works, in_database, rows
from tests.inference.running import until


async def test_a_killed_trainer_goes_on_from_its_last_checkpoint(works: Works) -> None:
    mark = works.folder / "deaths"
    job = await works.create(steps=8, save_every=2, at=5, dies=str(mark), times=2)
    works.start()
    await works.reaches(job, "succeeded")
    assert works.steps() == [1, 2, 3, 4, 5, 5, 5, 6, 7, 8]
    codes = await rows(JobEvent.objects.filter(job=job).values_list("code", flat=True))
    assert codes.count("trainer_killed") == 2
    points = await rows(JobMetric.objects.filter(job=job).values_list("step", flat=True))
    assert sorted(points) == list(range(1, 9))


async def test_a_checkpoint_is_called_by_the_newest_step_that_is_stored(
    works: Works, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The trainer works on while they are: from an older step, its points would be dropped."""
    store = job_checkpoint_files.store

    def slowly(job: Job, folder: Path) -> job_checkpoint_files.Files:
        time.sleep(0.5)
        return store(job, folder)

    monkeypatch.setattr(job_checkpoint_files, "store", slowly)
    job = await works.create(steps=20, step_s=0.1, save_every=1)
    works.start()
    await works.reaches(job, "succeeded")
    checkpoints = await rows(JobCheckpoint.objects.filter(job=job).exclude(files=[]))
    assert len(checkpoints) >= 2
    for each in checkpoints:
        assert each.step == max(int(str(name)[5:11]) for name, *_rest in each.files)


async def test_a_trainer_that_dies_at_the_same_step_ends_the_job(works: Works) -> None:
    mark = works.folder / "deaths"
    job = await works.create(steps=8, save_every=2, at=5, dies=str(mark), times=99)
    works.start()
    job = await works.reaches(job, "failed")
    assert job.reason == "trainer_killed"
    assert (job.gpu_ms, job.cost) == await works.bill()


@pytest.mark.parametrize(
    ("code", "state", "reason"),
    [(65, "failed", "staged"), (71, "failed", "staged"), (73, "paused", "disk_full")],
)
async def test_the_trainers_exit_code_decides(
    works: Works, code: int, state: str, reason: str
) -> None:
    job = await works.create(steps=8, save_every=2, at=3, ends=code)
    works.start()
    job = await works.reaches(job, state)
    assert job.reason == reason
    assert "it fits with 1 GB" in job.problems[0]["message"]


@pytest.mark.parametrize(("code", "is_paid"), [(65, True), (73, False)])
async def test_time_before_a_refusal_is_paid_where_the_order_is_at_fault(
    works: Works, code: int, is_paid: bool
) -> None:
    """A learning rate that makes the loss infinite is the order's fault, a full disk is not."""
    job = await works.create(steps=8, step_s=0.1, save_every=1000, at=6, ends=code)
    works.start()
    job = await works.reaches(job, "failed", "paused", order=False)
    assert (job.gpu_ms >= 500) is is_paid


async def test_a_worker_that_stops_puts_the_job_back_and_another_goes_on(works: Works) -> None:
    job = await works.create(steps=20, step_s=0.2, save_every=100)
    works.start()
    await works.reaches(job, "running", step=3)
    await works.stop()
    checkpoint = await in_database(Checkpoint.objects.get)()
    assert (checkpoint.stops, checkpoint.preemptions) == (1, 0)
    assert checkpoint.gpu_ms > 0
    works.start()
    job = await works.reaches(job, "succeeded")
    assert works.steps() == list(range(1, 21)), "its trainer wrote a checkpoint when it stopped"
    assert job.orders == 1


async def test_a_lost_lease_loses_the_steps_since_the_last_checkpoint_alone(works: Works) -> None:
    """As after the death of a worker: another one goes on, and the steps are paid once."""
    sign = works.folder / "sign"
    job = await works.create(steps=12, save_every=4, at=6, waits=str(sign))
    await _loses_its_lease(works, job, step=6, checkpoint=4)
    sign.touch()
    works.start()
    job = await works.reaches(job, "succeeded")
    assert works.steps() == [*range(1, 7), *range(5, 13)]
    assert (job.gpu_ms, job.cost) == await works.bill()
    assert await in_database(Completion.objects.count)() == 1


async def test_a_student_goes_on_though_its_teachers_checkpoints_have_the_same_names(
    works: Works,
) -> None:
    """Its step 2 is the job's step 6, and its folder is named as one of the teacher's."""
    sign = works.folder / "sign"
    job = await works.create("distil", teacher=4, steps=4, save_every=2, at=7, waits=str(sign))
    await _loses_its_lease(works, job, step=7, checkpoint=6)
    sign.touch()
    works.start()
    await works.reaches(job, "succeeded")
    assert works.steps() == [*range(1, 8), 7, 8]
    points = await rows(JobMetric.objects.filter(job=job).values_list("step", flat=True))
    assert sorted(points) == list(range(1, 9))


async def _loses_its_lease(works: Works, job: Job, *, step: int, checkpoint: int) -> None:
    """Have a worker lose it at the step, with the checkpoint stored, and end its trainer."""
    works.start()
    await works.reaches(job, "running", step=step)
    await until(lambda: in_database(_checkpoint_at)(job, checkpoint))
    works.bench.runners[-1].stopping = True
    assert await works.bench.leases_run_out() == 1
    await asyncio.wait_for(works.bench.drains[-1], 60)


def _checkpoint_at(job: Job, step: int) -> JobCheckpoint | None:
    return JobCheckpoint.objects.filter(job=job, step=step).first()


async def test_redis_loses_everything(works: Works) -> None:
    job = await works.create(steps=12, step_s=0.2, save_every=2)
    works.start()
    await works.reaches(job, "running", step=4)
    await works.stop()
    await forget_pool(works.bench.link, works.bench.pool)
    row = await in_database(Job.objects.get)(pk=job.pk)
    assert row.order_id
    await in_database(restoring.enqueue_again)(works.bench.pool, row.order_id)
    works.start()
    await works.reaches(job, "succeeded")
    assert sorted(set(works.steps())) == list(range(1, 13))
    assert works.steps().count(2) == 1, "its checkpoint was stored long before"


async def test_children_of_a_trainer_end_with_its_worker(works: Works) -> None:
    """The worker's end of the pipe closes: the keeper kills the whole group."""
    job = await works.create(steps=1000, step_s=0.1, deaf=True)
    works.start()
    await works.reaches(job, "running", step=2)
    keeper = _keeper_of(works.folder)
    runners = works.bench.runners  # one that was idle has left
    (run,) = (run for runner in runners for run in runner.requests.running.values())
    process = run.handler._stay._process._process  # type: ignore[attr-defined]
    process.stdin.close()
    for _ in range(100):
        if not _is_alive(keeper):
            break
        await asyncio.sleep(0.1)
    assert not _is_alive(keeper)


def _keeper_of(folder: Path) -> int:
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            command = Path(f"/proc/{pid}/cmdline").read_bytes()
        except OSError:
            continue
        if b"scripted_trainer.py" in command and str(folder).encode() in command:
            return int(pid)
    raise AssertionError("no trainer runs")


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
        return b"Z" not in Path(f"/proc/{pid}/stat").read_bytes().split(b")")[1][:3]
    except (ProcessLookupError, FileNotFoundError):
        return False


async def test_a_deaf_trainer_is_killed_when_its_time_to_stop_is_over(
    works: Works, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stay, "STOP_S", 0.5)
    job = await works.create(steps=1000, step_s=0.1, save_every=1000, deaf=True)
    works.start()
    await works.reaches(job, "running", step=2)
    await works.act(job, "pause")
    job = await works.reaches(job, "paused", order=False)
    assert job.gpu_ms >= 200, "else its people could pause it again and again for nothing"
    assert (job.gpu_ms, job.cost) == await works.bill()


async def test_a_checkpoint_that_cannot_be_stored_is_tried_again(
    works: Works, monkeypatch: pytest.MonkeyPatch
) -> None:
    tries = []

    def away(*_: object) -> None:
        tries.append(1)
        raise StoreError("the bucket is away")

    monkeypatch.setattr(stay, "STORE_AGAIN_S", 0.01)
    with monkeypatch.context() as patch:
        patch.setattr(job_checkpoint_files, "store", away)
        job = await works.create(steps=6, save_every=2)
        works.start()
        row = await works.reaches(job, "queued", "running", order=False)
    assert len(tries) == stay.STORE_TRIES
    await in_database(Job.objects.filter(pk=row.pk).update)(due_at=row.created_at)
    await works.reaches(job, "succeeded")


async def test_a_disk_that_is_full_at_its_end_pauses_it_and_no_step_is_done_again(
    works: Works, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    job = await works.create(steps=4, save_every=2)
    with monkeypatch.context() as patch:
        patch.setattr(training, "finish", full)
        works.start()
        job = await works.reaches(job, "paused", order=False)
    assert job.reason == "disk_full"
    await works.act(job, "resume")
    await works.reaches(job, "succeeded")
    assert works.steps() == [1, 2, 3, 4]


# Quotas ------------------------------------------------------------------------------------------
@pytest.mark.slow(seconds=90)
async def test_a_job_pauses_where_its_gpu_time_is_used_up_and_goes_on_with_more(
    works: Works, settings: Settings
) -> None:
    settings.JOB_ORDER_GPU_S = 8
    quota = await in_database(Quota.set)(
        works.bench.acme, unit="gpu_seconds", window="day", limit=8, by="test"
    )
    job = await works.create(steps=70, step_s=0.2, save_every=5)
    works.start()
    job = await works.reaches(job, "paused", order=False, seconds=120)
    assert job.reason == "quota"
    assert "GPU-seconds" in job.problems[0]["message"]
    assert 0 < job.gpu_ms <= 8_000, "never more than was set aside"
    balance = await in_database(quota.balance)()
    assert (balance.used, balance.reserved) == (-(-job.gpu_ms // 1000), 0)
    await in_database(quota.change)(500, by="test")
    await works.act(job, "resume")
    job = await works.reaches(job, "succeeded", seconds=120)
    assert works.steps() == list(range(1, 71))
    assert job.gpu_ms == (await works.bill())[0]


async def test_gpu_time_that_is_used_up_before_a_checkpoint_is_paid_for(
    works: Works, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stay, "STOP_S", 0.2)
    settings.JOB_ORDER_GPU_S = 5
    job = await works.create(steps=1000, step_s=0.1, save_every=1000, deaf=True)
    works.start()
    job = await works.reaches(job, "paused", order=False)
    assert job.reason == "no_progress"
    assert 2_000 <= job.gpu_ms <= 5_000
    assert (job.gpu_ms, job.cost) == await works.bill()


@pytest.mark.parametrize("content", [None, b"other bytes"])
async def test_a_job_whose_files_are_damaged_waits_for_people(
    works: Works, settings: Settings, content: bytes | None
) -> None:
    """It was tried again for ever, as if the store were away."""
    job = await works.create(steps=4)
    stored = (each for each in Path(settings.MODEL_STORE).rglob("*") if each.is_file())
    path = next(each for each in stored if each.read_bytes() == tensors(3))
    path.unlink()
    if content:
        path.write_bytes(content)
    works.start()
    job = await works.reaches(job, "paused", order=False)
    assert job.reason == "files_damaged"
    path.unlink(missing_ok=True)
    path.write_bytes(tensors(3))
    await works.act(job, "resume")
    await works.reaches(job, "succeeded")
