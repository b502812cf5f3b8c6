"""`/v1/fine_tuning/jobs` with OpenAI's own SDK, and what a stranger sees of it: nothing."""

from collections.abc import AsyncIterator
from contextlib import suppress
from threading import Event as Signal
from threading import Thread, current_thread
from typing import Any

import httpx2
import openai
import orjson
import pytest
from django.db import connection

from audit.models import Event
from inference.models import Job
from inference.models.job import WrongState
from infrastructure.postgres.patient_backend.base import DatabaseWrapper
from tenants.models import ApiKey, Quota, Tenant
from tenants.scope import tenant_scope
from tests.inference.cut_offs import commits_cut_off, end
from tests.inference.jobs.works import LINES, Works, in_database
from tests.inference.web import served, serving

ACTS = ["job:pause", "job:resume", "job:cancel"]
BASE = "http://forebay.example/v1"


async def client_of(tenant: Tenant) -> openai.AsyncOpenAI:
    _key, secret = await in_database(ApiKey.issue)(tenant, "sdk", by="test")
    transport = httpx2.ASGITransport(served, client=("198.51.100.7", 1234))
    return openai.AsyncOpenAI(
        api_key=secret,
        base_url=BASE,
        max_retries=0,
        http_client=httpx2.AsyncClient(transport=transport, base_url=BASE),
    )


@pytest.fixture
async def alice(works: Works) -> AsyncIterator[openai.AsyncOpenAI]:
    await in_database(works.base)()
    async with serving():
        client = await client_of(works.bench.acme)
        yield client
        await client.close()


async def uploaded(client: openai.AsyncOpenAI, content: bytes = LINES) -> str:
    file = await client.files.create(file=("chats.jsonl", content), purpose="fine-tune")
    assert file.purpose == "fine-tune"
    return file.id


async def job_of(client: openai.AsyncOpenAI, **more: Any) -> Any:
    fields = {"model": "tiny", "training_file": await uploaded(client), **more}
    return await client.fine_tuning.jobs.create(**fields)


async def row_of(job: Any) -> Job:
    row: Job = await in_database(Job.objects.get)(pk=job.id.removeprefix("ftjob-"))
    return row


async def test_a_job_from_its_file_to_its_model(works: Works, alice: openai.AsyncOpenAI) -> None:
    supervised = {"hyperparameters": {"n_epochs": 2, "batch_size": "auto"}}
    method = {"type": "supervised", "supervised": supervised}
    job = await job_of(alice, suffix="support", method=method, seed=7, metadata={"case": "1"})
    assert (job.object, job.status, job.model) == ("fine_tuning.job", "validating_files", "tiny")
    assert (job.seed, job.metadata, job.error) == (7, {"case": "1"}, None)
    assert job.method.supervised.hyperparameters.n_epochs == 2
    row = await row_of(job)
    assert row.parameters == {"epochs": 2}
    works.start()
    await works.reaches(row, "succeeded")
    job = await alice.fine_tuning.jobs.retrieve(job.id)
    assert (job.status, job.fine_tuned_model) == ("succeeded", "tiny-support@1")
    assert job.finished_at
    assert job.trained_tokens == 600
    listing = await alice.fine_tuning.jobs.list(limit=1)
    assert ([each.id for each in listing.data], listing.has_more) == ([job.id], False)
    events = await alice.fine_tuning.jobs.list_events(job.id)
    assert [event.message for event in events.data][-1] == "started at step 0"
    points = await alice.fine_tuning.jobs.checkpoints.list(job.id)
    assert points.data[0].step_number == 6
    assert points.data[0].metrics.valid_loss == 1


async def test_pause_resume_and_cancel(works: Works, alice: openai.AsyncOpenAI) -> None:
    job = await job_of(alice)
    row = await works.reaches(await row_of(job), "queued")
    paused = await alice.fine_tuning.jobs.pause(job.id)
    assert paused.model_dump()["status"] == "paused", "a state that the SDK's types lack"
    with pytest.raises(openai.ConflictError):
        await alice.fine_tuning.jobs.pause(job.id)
    await works.reaches(row, "paused", order=False)
    assert (await alice.fine_tuning.jobs.resume(job.id)).status == "queued"
    assert (await alice.fine_tuning.jobs.cancel(job.id)).status == "cancelled"
    with pytest.raises(openai.ConflictError):
        await alice.fine_tuning.jobs.resume(job.id)


async def test_a_job_with_an_idempotency_key_begins_once(
    works: Works, alice: openai.AsyncOpenAI
) -> None:
    fields: dict[str, Any] = {"model": "tiny", "training_file": await uploaded(alice)}
    headers = {"Idempotency-Key": "tuning-1"}
    first = await alice.fine_tuning.jobs.create(**fields, extra_headers=headers)
    again = await alice.fine_tuning.jobs.create(**fields, extra_headers=headers)
    assert again == first
    with pytest.raises(openai.UnprocessableEntityError):
        await alice.fine_tuning.jobs.create(**fields, seed=2, extra_headers=headers)
    assert await Job.objects.filter(tenant_id=works.bench.acme.pk).acount() == 1


async def test_acts_are_done_once_though_their_commits_are_cut_off(
    works: Works, alice: openai.AsyncOpenAI, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = await job_of(alice)
    row = await works.reaches(await row_of(job), "queued")
    for verb, state in (("pause", "paused"), ("resume", "queued"), ("cancel", "cancelled")):
        with commits_cut_off(monkeypatch):
            acted = await getattr(alice.fine_tuning.jobs, verb)(job.id)
        assert acted.model_dump()["status"] == state
    acts = Event.objects.filter(tenant_id=row.tenant_id, action__startswith="job:").order_by("id")
    made = [event.action async for event in acts]
    assert [act for act in made if act in ACTS] == ACTS


async def test_an_act_that_another_has_undone_is_not_done_again(
    works: Works, alice: openai.AsyncOpenAI, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = await job_of(alice)
    await works.reaches(row := await row_of(job), "queued")
    commit, resumed = DatabaseWrapper.commit, Signal()

    def bob_resumes() -> None:
        with suppress(WrongState), tenant_scope(row.tenant_id):
            Job.objects.get(pk=row.pk).resume(by="user:bob")
            resumed.set()
        connection.close()

    def cut_off(self: DatabaseWrapper) -> None:
        commit(self)
        if not resumed.is_set() and current_thread().name != "bob":
            bob = Thread(target=bob_resumes, name="bob")
            bob.start()
            bob.join()
            if resumed.is_set():
                end(self)

    monkeypatch.setattr(DatabaseWrapper, "commit", cut_off)
    acted = await alice.fine_tuning.jobs.pause(job.id)
    assert acted.model_dump()["status"] == "queued", "bob has resumed it"


async def test_the_last_place_is_taken_once_though_its_commit_is_cut_off(
    works: Works, alice: openai.AsyncOpenAI, monkeypatch: pytest.MonkeyPatch, settings: Any
) -> None:
    file = await uploaded(alice)
    settings.JOBS_UNDER_WAY = 1
    with commits_cut_off(monkeypatch):
        await alice.fine_tuning.jobs.create(model="tiny", training_file=file)
    with pytest.raises(openai.RateLimitError):
        await alice.fine_tuning.jobs.create(model="tiny", training_file=file)


async def test_problems_name_their_lines(works: Works, alice: openai.AsyncOpenAI) -> None:
    user_alone = orjson.dumps({"messages": [{"role": "user", "content": "a secret"}]})
    lines = [LINES.strip(), b"{broken", user_alone, b'{"messages": []}', b"\xff\xfe"]
    file = await uploaded(alice, b"\n".join(lines))
    job = await alice.fine_tuning.jobs.create(model="tiny", training_file=file)
    row = await works.reaches(await row_of(job), "failed")
    assert [(p["line"], p["message"]) for p in row.problems] == [
        (11, "this line is not valid JSON"),
        (12, "the chat has no answer of an assistant with text"),
        (13, "`messages` must be a list with at least one message"),
        (14, "this line is not UTF-8"),
    ]
    job = await alice.fine_tuning.jobs.retrieve(job.id)
    assert job.error
    assert job.error.code == "invalid_training_file"
    every_line = "; ".join(f"line {p['line']}: {p['message']}" for p in row.problems)
    assert job.error.message == every_line
    assert "secret" not in str(row.problems)


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"model": "nobody-has-it"}, "model"),
        ({"training_file": "file-00000000000000000000000000000000"}, "training_file"),
        ({"method": {"type": "dpo"}}, "method.type"),
        ({"method": {"type": "reinforcement"}}, "method.type"),
        ({"integrations": [{"type": "wandb", "wandb": {"project": "p"}}]}, "integrations"),
        ({"hyperparameters": {"n_epochs": 0}}, "n_epochs"),
        ({"hyperparameters": {"beta": 1}}, "beta"),
        ({"hyperparameters": [1]}, "hyperparameters"),
        ({"method": {"type": "supervised", "supervised": "all"}}, "method.supervised"),
        (
            {"method": {"type": "supervised", "supervised": {"hyperparameters": "all"}}},
            "method.supervised.hyperparameters",
        ),
        ({"hyperparameters": {"n_epochs": 10**30}}, "n_epochs"),
        ({"model": "a\0b"}, "model"),
        ({"suffix": "x" * 65}, "suffix"),
        ({"seed": -1}, "seed"),
    ],
)
async def test_what_cannot_be_is_refused_in_words(
    alice: openai.AsyncOpenAI, fields: dict[str, Any], param: str
) -> None:
    with pytest.raises((openai.BadRequestError, openai.NotFoundError)) as refusal:
        await job_of(alice, **fields)
    assert refusal.value.param == param
    assert not await in_database(Job.objects.exists)()


async def test_a_file_for_batches_trains_nothing(alice: openai.AsyncOpenAI) -> None:
    file = await alice.files.create(file=("lines.jsonl", LINES), purpose="batch")
    with pytest.raises(openai.BadRequestError, match="fine-tune"):
        await alice.fine_tuning.jobs.create(model="tiny", training_file=file.id)


async def test_a_file_in_use_stays(works: Works, alice: openai.AsyncOpenAI) -> None:
    file = await uploaded(alice)
    job = await alice.fine_tuning.jobs.create(model="tiny", training_file=file)
    with pytest.raises(openai.ConflictError):
        await alice.files.delete(file)
    await alice.fine_tuning.jobs.cancel(job.id)
    await works.drive()
    assert (await alice.files.delete(file)).deleted


async def test_without_gpu_time_no_job_begins(works: Works, alice: openai.AsyncOpenAI) -> None:
    await in_database(Quota.set)(
        works.bench.acme, unit="gpu_seconds", window="day", limit=0, by="test"
    )
    with pytest.raises(openai.RateLimitError) as refusal:
        await job_of(alice)
    assert refusal.value.code == "insufficient_quota"


async def test_charlie_can_neither_read_nor_tell_apart_acmes_jobs(
    works: Works, alice: openai.AsyncOpenAI
) -> None:
    job = await job_of(alice)
    globex = await in_database(Tenant.open)("globex", by="test")
    charlie = await client_of(globex)
    jobs = charlie.fine_tuning.jobs
    nobodys = "ftjob-" + "0" * 32
    acts = (jobs.retrieve, jobs.cancel, jobs.pause, jobs.resume, jobs.list_events)
    for act in (*acts, jobs.checkpoints.list):
        answers = []
        for name in (job.id, nobodys):
            with pytest.raises(openai.NotFoundError) as refusal:
                await act(name)
            answers.append((refusal.value.body, refusal.value.status_code))
        assert answers[0] == answers[1], "a job of another is as if there were none"
    assert (await jobs.list()).data == []
    with pytest.raises(openai.NotFoundError):
        await jobs.create(model="tiny", training_file=job.training_file)
    assert (await alice.fine_tuning.jobs.retrieve(job.id)).status == "validating_files"
    await charlie.close()


async def test_a_key_sees_its_own_jobs_alone(works: Works, alice: openai.AsyncOpenAI) -> None:
    job = await job_of(alice)
    bob = await client_of(works.bench.acme)
    with pytest.raises(openai.NotFoundError):
        await bob.fine_tuning.jobs.retrieve(job.id)
    assert (await bob.fine_tuning.jobs.list()).data == []
    await bob.close()
