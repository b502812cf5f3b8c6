"""Before people review a version, its model is asked once through the platform."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from aiohttp import web
from channels.db import database_sync_to_async
from django.db import connections
from pytest_django.fixtures import Settings

from inference import engines
from inference.api import deferred
from inference.api.policy_trials import driver
from inference.api.policy_trials.trial import tried
from inference.decisions import policies
from inference.intake import enqueue
from inference.models import DecisionPolicyVersion, Usage
from inference.worker import runner
from inference.worker.handlers import patient_asking
from tenants.models import ApiKey, Tenant
from tests.inference.decisions.specs import payments
from tests.inference.evaluation.conftest import bundled_model, served
from tests.inference.running import until
from tests.inference.vectors.conftest import VectorEngine, running

in_database = database_sync_to_async
pytestmark = pytest.mark.django_db(transaction=True)
MODEL = "deepseek-r1"
LIKELY = {"yes": -0.5, "no": -1.5, "maybe": -3.0}


def answer(likely: dict[str, float] | None) -> dict[str, Any]:
    """Returns a chat's answer with these likely first tokens; None: it says nothing of them."""
    tops = [{"token": token, "logprob": logprob} for token, logprob in (likely or {}).items()]
    first: dict[str, Any] = {"token": "yes", "logprob": -0.5, "top_logprobs": tops}
    choice: dict[str, Any] = {"index": 0, "message": {"role": "assistant", "content": "yes"}}
    choice |= {
        "finish_reason": "length",
        "logprobs": None if likely is None else {"content": [first]},
    }
    usage = {"prompt_tokens": 30, "completion_tokens": 1, "total_tokens": 31}
    return {"object": "chat.completion", "choices": [choice], "usage": usage}


class Trials:
    def __init__(self, tenant: Tenant, key: ApiKey) -> None:
        self.tenant, self.key = tenant, key

    async def submitted(self, name: str = "payments", **fields: Any) -> DecisionPolicyVersion:
        create = in_database(policies.create)
        policy = await create(self.tenant, name, payments(**fields), by=self.key.actor)
        version: DecisionPolicyVersion = await in_database(policy.versions.get)()
        await in_database(version.submit)(by=self.key.actor, caller=self.key)
        return version

    async def drive(self) -> None:
        """Run in a thread without a loop, as a task does."""
        await asyncio.get_running_loop().run_in_executor(None, _drive)

    async def ended(self, version: DecisionPolicyVersion) -> dict[str, Any]:
        """Returns what the trial showed."""

        async def over() -> bool:
            await self.drive()
            await in_database(version.refresh_from_db)()
            return version.state != "trial"

        await until(over, 120)
        return version.trial or {}


def _drive() -> None:
    try:
        driver.drive_all()
    finally:
        connections.close_all()


@pytest.fixture
async def trials(
    quick: None, acme: Tenant, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Trials]:
    monkeypatch.setattr(runner, "LINGER_S", 60)
    monkeypatch.setattr(enqueue, "wake_up", lambda _pool: None)
    monkeypatch.setattr(deferred, "LEAST_WAIT_S", 0.05)
    monkeypatch.setattr(driver, "LONGEST_WAIT_S", 0.05)
    settings.ADDRESS_PER_MINUTE = 0
    key, _text = await in_database(ApiKey.issue)(acme, "ci", by="test")
    yield Trials(acme, key)
    engines.forget()


@pytest.fixture
async def engine(trials: Trials, pool: str, settings: Settings) -> AsyncIterator[VectorEngine]:
    engine = VectorEngine()
    engine.answer = lambda _body: answer(LIKELY)
    server = web.ServerRunner(web.Server(engine), shutdown_timeout=0.1)
    await server.setup()
    await web.TCPSite(server, "127.0.0.1", 0).start()
    host, port = server.addresses[0][:2]
    entry = {"kind": "openai", "url": f"http://{host}:{port}/v1", "version": "v1"}
    settings.ENGINES = {MODEL: {"pools": {pool: entry}}}
    engines.forget()
    async with running(pool):
        yield engine
    await server.cleanup()


async def test_it_asks_once_with_the_limits_of_who_sent_it(
    trials: Trials, engine: VectorEngine
) -> None:
    shown = await trials.ended(version := await trials.submitted())
    assert version.state == "in_review"
    assert shown["score"] == pytest.approx(0.7311, abs=1e-4)
    assert (shown["both_labels"], shown["tokens"], shown["model_version"]) == (True, None, "v1")
    ((_path, body),) = engine.asked
    assert (body["max_tokens"], body["logprobs"], body["top_logprobs"]) == (1, True, 20)
    used: Usage = await in_database(Usage.objects.get)()
    assert (used.api_key_id, str(used.completion_id)) == (trials.key.pk, shown["completion"])


@pytest.mark.parametrize(
    ("likely", "problem"),
    [
        (None, {"problem": "no_logprobs"}),
        ({}, {"problem": "no_logprobs"}),
        (
            {"<think>": -0.1, "I": -3.0},
            {"problem": "labels_not_likely", "likely": ["<think>", "I"]},
        ),
    ],
)
async def test_a_model_that_gives_no_score_is_refused(
    trials: Trials,
    engine: VectorEngine,
    likely: dict[str, float] | None,
    problem: dict[str, Any],
) -> None:
    engine.answer = lambda _body: answer(likely)
    shown = await trials.ended(version := await trials.submitted())
    assert (version.state, shown) == ("draft", problem)


async def test_one_label_is_enough(trials: Trials, engine: VectorEngine) -> None:
    engine.answer = lambda _body: answer({"No": -0.01, "Nope": -6.0})
    shown = await trials.ended(version := await trials.submitted())
    assert (version.state, shown["both_labels"]) == ("in_review", False)
    assert shown["score"] < 0.01


async def test_an_engine_that_is_away_is_asked_some_times(
    trials: Trials, engine: VectorEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(driver, "MOST_ATTEMPTS", 2)
    monkeypatch.setattr(patient_asking, "ENGINE_PATIENCE_S", 0.5)
    engine.status = 503
    engine.answer = lambda _body: {"error": {"message": "loading"}}
    shown = await trials.ended(version := await trials.submitted())
    assert version.state == "draft"
    assert shown["problem"] in ("engine_unavailable", "server_overloaded")
    assert version.due_at is None


async def test_a_revoked_key_tries_nothing(trials: Trials, engine: VectorEngine) -> None:
    version = await trials.submitted()
    await in_database(trials.key.revoke)(by="test")
    assert await trials.ended(version) == {"problem": "access_revoked"}
    assert not engine.asked


async def test_another_version_serves_by_now(
    trials: Trials, engine: VectorEngine, settings: Settings, pool: str
) -> None:
    version = await trials.submitted()
    entry = settings.ENGINES[MODEL]["pools"][pool]
    settings.ENGINES = {MODEL: {"pools": {pool: entry | {"version": "v2"}}}}
    engines.forget()
    assert await trials.ended(version) == {"problem": "model_changed"}


async def test_it_goes_on_where_a_process_has_died(
    trials: Trials, engine: VectorEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    version = await trials.submitted()

    async def dies(*_args: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as broken:
        broken.setattr(driver, "tried", dies)
        with pytest.raises(KeyboardInterrupt):
            await in_database(_drive)()
    await in_database(version.refresh_from_db)()
    assert version.state == "trial"
    await in_database(DecisionPolicyVersion.objects.update)(due_at="2026-01-01T00:00Z")
    await trials.ended(version)
    assert version.state == "in_review"


async def test_of_two_processes_at_once_one_asks(trials: Trials, engine: VectorEngine) -> None:
    submitted = await trials.submitted()
    rows = DecisionPolicyVersion.objects
    first, second = [await in_database(rows.get)(pk=submitted.pk) for _ in range(2)]
    attempts = [await in_database(each.begin_trial)(driver.AGAIN) for each in (first, second)]
    assert attempts == [1, 0]


async def test_a_trial_that_breaks_off_each_time_fails_and_holds_up_no_other(
    trials: Trials, engine: VectorEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(driver, "MOST_ATTEMPTS", 2)
    odd = await trials.submitted()
    other = await trials.submitted(name="transfers")

    async def breaks(context: Any, version: DecisionPolicyVersion) -> dict[str, Any]:
        if version.pk == odd.pk:
            raise LookupError("an answer without choices")
        return await tried(context, version)

    monkeypatch.setattr(driver, "tried", breaks)
    assert await trials.ended(odd) == {"problem": "internal_error"}
    await trials.ended(other)
    assert other.state == "in_review"
    assert len(engine.asked) == 1


# A real engine -----------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with served(bundled_model()) as url:
        yield url


@pytest.fixture
async def real(trials: Trials, server: str, pool: str, settings: Settings) -> AsyncIterator[Trials]:
    entry = {"kind": "llama_cpp", "url": server, "version": "q4", "slots": 2}
    settings.ENGINES = {MODEL: {"model": "model", "context_length": 1024, "pools": {pool: entry}}}
    engines.forget()
    async with running(pool):
        yield trials


@pytest.mark.slow(seconds=60)
async def test_a_real_engine_names_the_tokens_of_the_labels(real: Trials) -> None:
    template = "Question: is a payment of {{amount}} high? Answer with yes or no.\nAnswer:"
    submitted = await real.submitted(form="text", template=template)
    shown = await real.ended(submitted)
    assert submitted.state == "in_review", shown
    assert shown["tokens"] == {"positive": "yes", "negative": "no"}
    assert 0 < shown["score"] < 1


@pytest.mark.slow(seconds=60)
async def test_a_label_of_several_tokens_is_refused(real: Trials) -> None:
    shown = await real.ended(await real.submitted(form="text", positive="fraudulently"))
    assert shown["problem"] == "label_of_several_tokens"
    assert "fraudulently".startswith(shown["token"])
