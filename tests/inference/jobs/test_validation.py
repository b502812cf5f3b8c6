"""Validation in the background: a large file keeps neither other work nor other tenants waiting."""

import asyncio
from threading import Event

import orjson
import pytest

from inference.jobs import background_validation, validation
from inference.jobs.background_validation import begin
from inference.jobs.driving import drive_due
from inference.models import Job
from tenants.models import Tenant
from tests.inference.jobs.works import CHAT, LINES, Works, in_database
from tests.inference.running import until


async def state(job: Job) -> str:
    row = await in_database(Job.objects.get)(pk=job.pk)
    return str(row.state)


async def test_a_large_file_delays_nobody_but_its_tenant(
    works: Works, globex: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    large, small, other = (
        await works.create(),
        await works.create(),
        await works.create(tenant=globex),
    )
    goes_on, check = Event(), validation._problems

    def slow(job: Job) -> object:
        if job.pk == large.pk:
            goes_on.wait(60)
        return check(job)

    monkeypatch.setattr(validation, "_problems", slow)
    try:
        await in_database(drive_due)(begin)

        async def is_queued() -> bool:
            return await state(other) == "queued"

        await until(is_queued, 30)
        assert [await state(large), await state(small)] == ["validating"] * 2
    finally:
        goes_on.set()

    async def both_are() -> bool:
        await in_database(drive_due)(begin)
        await asyncio.sleep(0.05)
        return [await state(large), await state(small)] == ["queued"] * 2

    await until(both_are, 30)


async def test_one_that_breaks_is_begun_anew_and_leaves_its_place(
    works: Works, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = await works.create()

    def breaks(_job: Job) -> object:
        raise RuntimeError

    with monkeypatch.context() as patch:
        patch.setattr(validation, "_problems", breaks)
        await in_database(drive_due)(begin)

        async def has_left() -> bool:
            return not background_validation._tenants

        await until(has_left, 30)
    assert await state(job) == "validating"
    await in_database(Job.objects.filter(pk=job.pk).update)(due_at=job.created_at)
    await works.reaches(job, "queued")


CALL = {"role": "assistant", "content": None, "tool_calls": [{"id": "1", "type": "function"}]}


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (b'{"messages": [], "tools": ' + b"[" * 300 + b"]" * 300 + b"}", "not valid JSON"),
        (b'{"messages": [{"role": "assistant", "content": "a"}], "person": "\\u0000"}', "nobody"),
        (orjson.dumps({"messages": [*CHAT["messages"], CALL]}), "must be a text"),
    ],
)
async def test_a_line_that_cannot_be_read_fails_the_job(
    works: Works, line: bytes, words: str
) -> None:
    owner = await in_database(works.owner)(works.bench.acme)
    file = await in_database(works.file)(works.bench.acme, "fine-tune", owner, LINES + line + b"\n")
    job = await works.create(owner=owner, training_file=file)
    failed = await works.reaches(job, "failed")
    assert [(each["line"], words in each["message"]) for each in failed.problems] == [(11, True)]
