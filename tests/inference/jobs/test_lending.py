"""Jobs on engines that are lent: they begin there alone, leave in time, and go on elsewhere."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest

from inference import engines
from inference.engine_entries import EngineEntry
from inference.lending import loans
from inference.models import Checkpoint, Completion, Engine, Job, Model, Pool, Usage
from inference.pool_policy import PoolPolicy, jobs_queue
from inference.queue.pool_workers import queue_of
from inference.worker.recovery import moving
from inference.worker.runner import Runners
from tests.inference.conftest import forget_pool
from tests.inference.jobs.works import Works, in_database, rows
from tests.inference.running import until

LENDS = {"return_s": 20}


class Lender:
    """A pool with an engine that serves and one that is lent; the latter's worker runs here."""

    def __init__(self, works: Works) -> None:
        self.works, self.pool = works, works.bench.pool
        self.name = f"{self.pool}.2"
        self.runners: Runners | None = None
        self.drain: asyncio.Task[None] | None = None

    async def lend(self, lending: dict[str, Any] | None = None, **fields: Any) -> None:
        await in_database(self._add)(LENDS if lending is None else lending)
        self.in_force(lending, lent=True, **fields)

    def _add(self, lending: dict[str, Any]) -> None:
        model = Model.objects.create(name=self.pool)
        pool = Pool.objects.create(name=self.pool, model=model, lending=lending)
        own = {"kind": "openai", "url": "http://127.0.0.1:9", "options": {"launch": {"model": "m"}}}
        for number in (1, 2):
            Engine.objects.create(pool=pool, name=f"{self.pool}.{number}", **own)
        row = Engine.objects.get(name=self.name)
        assert row.rest(by="test")
        assert row.lend(by="test")
        Engine.objects.filter(pk=row.pk).update(gpu_free=True)

    def in_force(self, lending: dict[str, Any] | None = None, *, lent: bool, **fields: Any) -> None:
        policy = PoolPolicy(lending=LENDS if lending is None else lending)
        own = {"kind": "openai", "url": "http://127.0.0.1:9", "slots": 2, **fields}
        entries = [
            EngineEntry(self.pool, self.pool, f"{self.pool}.1", own, policy=policy),
            EngineEntry(self.pool, self.pool, self.name, own, True, lent, policy),
        ]
        engines.put_in_force(entries)
        if self.runners:
            self.runners.look()

    async def wake(self, job: Job) -> None:
        """Have the worker begin once the job's order waits for it, as a message of Celery does."""
        await self.works.reaches(job, "queued", "running", order=True)
        gpu, queue = f"{self.name}:jobs", jobs_queue(self.pool)
        self.runners = Runners(queue, queue_of(queue, gpu, 1), 1)
        self.drain = asyncio.create_task(self.runners.drain())

    async def take_back(self) -> Engine:
        """Have the worker hear that its engine is asked back. Returns the row once it is back."""
        row = await self.row()
        assert await in_database(row.take_back)(by="test")
        self.in_force(lent=False)
        engine: Engine = await until(self.returned)
        return engine

    async def returned(self) -> Engine | None:
        row = await self.row()
        return None if row.lent_since else row

    async def row(self) -> Engine:
        engines = await rows(Engine.objects.filter(name=self.name).select_related("pool"))
        engine: Engine = engines[0]
        return engine

    async def stop(self) -> None:
        if self.runners and self.drain:
            self.runners.stop()
            await asyncio.wait_for(self.drain, 60)


@pytest.fixture
async def lender(works: Works) -> AsyncIterator[Lender]:
    lender = Lender(works)
    yield lender
    await lender.stop()
    engines.forget()
    await forget_pool(works.bench.link, jobs_queue(lender.pool))


async def test_a_job_runs_on_a_lent_engine_alone(lender: Lender) -> None:
    """No engine of its pool that serves takes it, and its tenant pays for its time."""
    await lender.lend()
    job = await lender.works.create(steps=8, step_s=0.05, save_every=2)
    lender.works.start()
    job = await lender.works.reaches(job, "queued", order=True)
    await asyncio.sleep(1)
    assert lender.works.steps() == []
    await lender.wake(job)
    job = await lender.works.reaches(job, "succeeded")
    (usage,) = await rows(Usage.objects.all())
    assert (usage.tenant_id, usage.pool) == (lender.works.bench.acme.id, jobs_queue(lender.pool))
    assert usage.gpu_ms == job.gpu_ms > 0


async def test_a_job_sees_the_gpus_of_the_lent_engine(lender: Lender) -> None:
    await lender.lend(gpus=[2, 3])
    job = await lender.works.create(steps=4, step_s=0.05, shows="CUDA_VISIBLE_DEVICES")
    await lender.wake(job)
    await lender.works.reaches(job, "succeeded")
    assert "CUDA_VISIBLE_DEVICES=2,3" in lender.works.lines()


async def test_a_job_does_not_begin_on_a_lent_engine_of_another_host(lender: Lender) -> None:
    """Its worker could only use a GPU of its own host."""
    await lender.lend(url="http://192.0.2.1:9")
    job = await lender.works.create(steps=4)
    await lender.wake(job)
    assert lender.drain
    await asyncio.wait_for(lender.drain, 30)
    assert lender.works.steps() == []


async def test_asked_back_a_job_leaves_with_a_checkpoint_and_goes_on_later(lender: Lender) -> None:
    await lender.lend()
    job = await lender.works.create(steps=20, step_s=0.2, save_every=100)
    await lender.wake(job)
    await lender.works.reaches(job, "running", step=3)
    row = await lender.take_back()
    assert (row.stopped, row.starting_since is not None) == (False, True)
    begun = len(lender.works.steps())
    await asyncio.sleep(0.5)
    assert len(lender.works.steps()) == begun, "nothing of it is on the GPU"
    checkpoint = (await rows(Checkpoint.objects.all()))[0]
    assert checkpoint.gpu_ms > 0
    lender.in_force(lent=True)
    await lender.wake(job)
    job = await lender.works.reaches(job, "succeeded")
    assert lender.works.steps() == list(range(1, 21)), "no step is done twice"
    assert (job.gpu_ms, job.cost) == await lender.works.bill()
    assert job.orders == 1


async def test_a_deaf_job_is_killed_within_the_bound_and_its_last_checkpoint_counts(
    lender: Lender,
) -> None:
    bound = {"return_s": 1}
    await lender.lend(bound)
    job = await lender.works.create(steps=40, step_s=0.2, save_every=4, deaf=True)
    await lender.wake(job)
    await lender.works.reaches(job, "running", step=6)
    row = await lender.row()
    assert await in_database(row.take_back)(by="test")
    lender.in_force(bound, lent=False)
    await until(lender.returned, 15)
    lender.in_force(lent=True)
    await lender.wake(job)
    job = await lender.works.reaches(job, "succeeded")
    assert any(f"has {step}" in lender.works.lines() for step in range(4, 40, 4))
    assert (job.gpu_ms, job.cost) == await lender.works.bill()


async def test_a_worker_that_dies_leaves_the_job_to_the_next_one(lender: Lender) -> None:
    await lender.lend()
    job = await lender.works.create(steps=12, step_s=0.2, save_every=2)
    await lender.wake(job)
    await lender.works.reaches(job, "running", step=4)
    await lender.stop()  # its trainer is dead, as after the death of its worker
    assert (await lender.row()).takes_jobs, "it is lent still"
    await lender.wake(job)
    job = await lender.works.reaches(job, "succeeded")
    assert (job.gpu_ms, job.cost) == await lender.works.bill()


async def test_where_the_option_goes_its_jobs_go_to_engines_that_serve(
    lender: Lender, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(moving, "YOUNG", timedelta())
    await lender.lend()
    job = await lender.works.create(steps=8, step_s=0.2, save_every=2)
    await lender.wake(job)
    await lender.works.reaches(job, "running", step=3)
    await in_database(Pool.objects.filter(name=lender.pool).update)(lending={})
    lender.in_force({}, lent=False)
    row = await until(lender.returned)
    assert row.starting_since
    await in_database(moving.move_all)()
    completion = (await rows(Completion.objects.all()))[0]
    assert completion.pool == lender.pool
    lender.works.start()
    job = await lender.works.reaches(job, "succeeded")
    assert sorted(set(lender.works.steps())) == list(range(1, 9))
    assert (job.gpu_ms, job.cost) == await lender.works.bill()


async def test_jobs_that_wait_when_a_pool_begins_to_lend_move_to_its_queue(
    lender: Lender, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(moving, "YOUNG", timedelta())
    lender.in_force({}, lent=False)
    job = await lender.works.create(steps=4)
    await lender.works.reaches(job, "queued", order=True)
    await lender.lend()
    await in_database(moving.move_all)()
    completion = (await rows(Completion.objects.all()))[0]
    assert completion.pool == jobs_queue(lender.pool)
    await lender.wake(job)
    await lender.works.reaches(job, "succeeded")


async def test_a_loan_whose_worker_has_no_job_ends_without_it(lender: Lender) -> None:
    await lender.lend()
    row = await lender.row()
    assert await in_database(row.take_back)(by="test")
    await in_database(loans.leave)(f"{lender.name}:jobs")
    assert not (await lender.row()).lent_since
    assert await in_database(Job.objects.count)() == 0
