"""kill -9 of whoever has a job, at each state of it: it goes on, is done once and paid once."""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import urlsplit

import pytest
from django.conf import settings as configured
from django.db import connection
from django.utils import timezone

from audit.models import Event
from config.environment import PROJECT
from inference.models import Completion, Job, ModelVersion, VersionState
from inference.worker.recovery import restoring
from tenants.models import LedgerEntry
from tests.inference.jobs.works import Works, in_database, rows
from tests.inference.running import until

PROGRAM = """
import django
django.setup()
from tests.inference.jobs.dying import work
work()
"""
PATHS = ("JOB_FOLDER", "MODEL_COPIES")
FOLDERS = (*PATHS, "JOB_STORE", "MODEL_STORE", "TRAINER_PYTHON")
WITHIN_S = 120
DRIVING, STAY = "inference.jobs.driving", "inference.jobs.on_host.stay.Stay"
FOLDER = "inference.jobs.on_host.work_folder.WorkFolder"
TRAINING = "inference.worker.handlers.training"
soak = pytest.mark.soak


@pytest.fixture
async def dies(works: Works, dsn: str) -> AsyncIterator[Any]:
    """Starts a driver or worker that dies at a place, and waits for its death."""
    processes = []

    async def start(role: str, at: str, job: Job) -> None:
        wish = {"role": role, "at": at, "job": str(job.pk), "pool": works.bench.pool, "dsn": dsn}
        wish |= {"paths": PATHS, "settings": {n: str(getattr(configured, n)) for n in FOLDERS}}  # type: ignore[dict-item]
        processes.append(_started(works, wish))
        code = await asyncio.to_thread(processes[-1].wait, WITHIN_S)
        assert code == -9, f"it ended with {code}, and never came to this place"

    yield start
    for process in processes:
        if process.poll() is None:
            process.kill()
            process.wait()


def _started(works: Works, wish: dict[str, Any]) -> "subprocess.Popen[bytes]":
    name = connection.settings_dict["NAME"]
    pools = {works.bench.pool: {"kind": "openai", "url": "http://127.0.0.1:9/v1"}}
    engines = {works.bench.pool: {"context_length": 4096, "template_tokens": 64, "pools": pools}}
    own = {
        "DJANGO_SETTINGS_MODULE": "config.settings",
        "FOREBAY_DATABASE_SCOPE": "system",
        "FOREBAY_ENGINES": json.dumps(engines),
        "DATABASE_URL": urlsplit(os.environ["DATABASE_URL"])._replace(path=name).geturl(),
        "DYING": json.dumps(wish),
    }
    command = [sys.executable, "-c", PROGRAM]
    return subprocess.Popen(command, env={**os.environ, **own}, cwd=PROJECT)


async def goes_on(works: Works, job: Job) -> Job:
    """Run the others: beat, a driver a minute later, the sweeper and another worker."""
    await in_database(Job.objects.filter(pk=job.pk).update)(due_at=timezone.now())
    await works.drive()
    row = await in_database(Job.objects.get)(pk=job.pk)
    if row.order_id:
        await in_database(restoring.enqueue_again)(works.bench.pool, row.order_id)
    works.start()
    return await works.reaches(job, "succeeded")


async def is_done_once(works: Works, job: Job) -> None:
    assert (job.gpu_ms, job.cost) == await works.bill()
    assert sorted(set(works.steps())) == list(range(1, 9))
    assert job.orders == await in_database(Completion.objects.count)() == 1
    settled = LedgerEntry.objects.filter(kind="settle")
    assert await in_database(settled.count)() == 1
    made = ModelVersion.objects.filter(made_by_job=job.pk, state=VersionState.READY)
    assert [version.pk for version in await rows(made)] == [job.result_version_id]
    acts = Event.objects.filter(detail__job=job.public_id).order_by("id")
    actions = await rows(acts.values_list("action", flat=True))
    assert actions == ["job:create", "job:succeed"]
    await works.stop()
    assert not list(configured.JOB_FOLDER.glob("*/")), "nothing of its data stays"


@pytest.mark.slow(seconds=60)
@pytest.mark.parametrize(
    ("state", "at"),
    [
        pytest.param("validating", f"after {DRIVING}._claimed", marks=soak),
        pytest.param("validating", "before inference.jobs.validation.validate", marks=soak),
        pytest.param("validating", "after inference.jobs.validation.validate", marks=soak),
        pytest.param("queued", "after inference.jobs.orders.begin", marks=soak),
        ("queued", "before inference.jobs.orders.enqueue"),
        pytest.param("queued", "after inference.jobs.orders.enqueue", marks=soak),
        pytest.param("over", f"after {DRIVING}._settle", marks=soak),
        pytest.param("over", f"after {DRIVING}._go_on", marks=soak),
    ],
)
async def test_a_driver_that_is_killed(works: Works, dies: Any, state: str, at: str) -> None:
    job = await works.create(steps=8, save_every=2)
    if state == "over":
        await works.reaches(job, "queued", order=True)
        works.start()
        await until(lambda: in_database(_is_over)(), 60)
    await dies("driver", at, job)
    await is_done_once(works, await goes_on(works, job))


def _is_over() -> bool:
    return not Completion.objects.open().exists()


@pytest.mark.slow(seconds=60)
@pytest.mark.parametrize(
    "at",
    [
        pytest.param(f"before {FOLDER}.furnish", marks=soak),
        pytest.param(f"after {FOLDER}.furnish", marks=soak),
        pytest.param(f"after {STAY}._start", marks=soak),
        pytest.param("before inference.jobs.job_checkpoint_files.store", marks=soak),
        pytest.param("after inference.jobs.job_checkpoint_files.store", marks=soak),
        pytest.param("after inference.worker.run.run.Run.checkpoint", marks=soak),
        pytest.param("after inference.jobs.on_host.attending.note_checkpoint", marks=soak),
        pytest.param(f"before {TRAINING}.finish", marks=soak),
        pytest.param("after inference.model_registry.registering.claim", marks=soak),
        f"after {TRAINING}.finish",
        pytest.param(f"before {TRAINING}.Training.result", marks=soak),
    ],
)
async def test_a_worker_that_is_killed(works: Works, dies: Any, at: str) -> None:
    job = await works.create(steps=8, save_every=2)
    await works.reaches(job, "queued", order=True)
    await dies("worker", at, job)
    await works.bench.leases_run_out()
    await is_done_once(works, await goes_on(works, job))
