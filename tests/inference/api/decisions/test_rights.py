"""A decision explained and contested over HTTP, with a runner and an engine behind it."""

import asyncio
import math
import threading
from datetime import timedelta
from typing import Any
from uuid import uuid4

import httpx
import pytest
from channels.db import database_sync_to_async
from django.db import connections
from django.utils import timezone
from pytest_django.fixtures import Settings

from audit.keys.keyring import Unreadable
from inference.api.deferred import Wait
from inference.api.explanations import driving, making
from inference.decisions.reviews import reviewing
from inference.intake.context import Context
from inference.models import (
    Completion,
    Contest,
    DecisionExplanation,
    DecisionPolicy,
    ExplanationState,
    Review,
)
from tenants.models import Tenant
from tests.inference.api.conftest import client_of
from tests.inference.api.decisions.asking import INPUT, PATH, decided
from tests.inference.api.decisions.conftest import Promote, answer_of
from tests.inference.cut_offs import commits_cut_off
from tests.inference.engine_server import EngineServer

in_database = database_sync_to_async
NEUTRAL = {"amount": 20, "abroad": False}
ABROAD = {**INPUT, "abroad": True}


def likely_abroad(body: dict[str, Any]) -> dict[str, Any]:
    """The engine's answer: only a payment abroad is a likely fraud."""
    if "messages" in body:
        return answer_of(body, _p(body["messages"][0]["content"]))
    prompts = body["prompt"] if isinstance(body["prompt"], list) else [body["prompt"]]
    choices = [
        {
            "index": index,
            "text": "yes",
            "finish_reason": "length",
            "logprobs": {"top_logprobs": [_logprobs(_p(prompt))]},
        }
        for index, prompt in enumerate(prompts)
    ]
    usage = {"prompt_tokens": 30, "completion_tokens": 1, "total_tokens": 31}
    head = {"id": "theirs", "object": "text_completion", "created": 1, "model": "theirs"}
    return {**head, "choices": choices, "usage": usage}


def _p(prompt: str) -> float:
    return 0.7 if "abroad: true" in prompt else 0.1


def _logprobs(p: float) -> dict[str, float]:
    return {"yes": math.log(p), "no": math.log(1 - p)}


@pytest.fixture
async def explainable(promote: Promote, engine: EngineServer) -> None:
    """A policy with neutral values, and a model for which only payments abroad are odd."""
    await promote(neutral=NEUTRAL)
    engine.beside = likely_abroad


async def explained(client: httpx.AsyncClient, decision: dict[str, Any], **query: str) -> Any:
    answer = await client.get(f"{PATH}/{decision['id']}/explanation", params=query)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def test_an_explanation_names_what_moved_the_score_and_is_made_once(
    explainable: None, client: httpx.AsyncClient, engine: EngineServer
) -> None:
    decision = await decided(client, input=ABROAD)
    explanation = await explained(client, decision, language="en")
    assert (explanation["state"], explanation["score"], explanation["not_examined"]) == (
        "ready",
        pytest.approx(0.7),
        ["merchant"],
    )
    first, second = explanation["inputs"]
    assert (first["input"], first["value"], first["neutral"]) == ("abroad", True, False)
    assert first["effect"] == pytest.approx(0.6)
    assert (second["input"], second["effect"]) == ("amount", pytest.approx(0))
    assert "“abroad” = true raised it" in " ".join(explanation["sentences"])
    requests = len(engine.asked)
    chinese = await explained(client, decision, language="zh")
    assert "使其升高" in " ".join(chinese["sentences"])
    assert len(engine.asked) == requests
    wrong = await client.get(f"{PATH}/{decision['id']}/explanation?language=fr")
    assert (wrong.status_code, wrong.json()["error"]["param"]) == (400, "language")


async def test_a_policy_that_asks_in_texts_has_all_prompts_in_one_order(
    promote: Promote, client: httpx.AsyncClient, engine: EngineServer
) -> None:
    await promote(neutral=NEUTRAL, form="text")
    engine.beside = likely_abroad
    decision = await decided(client, input=ABROAD)
    before = await in_database(Completion.objects.count)()
    explanation = await explained(client, decision)
    assert explanation["inputs"][0]["input"] == "abroad"
    assert explanation["inputs"][0]["effect"] == pytest.approx(0.6)
    assert await in_database(Completion.objects.count)() == before + 1


async def test_without_neutral_values_nothing_is_claimed(
    policy: DecisionPolicy, client: httpx.AsyncClient, engine: EngineServer
) -> None:
    engine.beside = likely_abroad
    explanation = await explained(client, await decided(client, input=ABROAD))
    assert explanation["inputs"] == []
    assert explanation["not_examined"] == [*ABROAD]
    assert "No single input" in " ".join(explanation["sentences"])


async def test_an_explanation_that_failed_is_made_when_asked_again(
    explainable: None, client: httpx.AsyncClient, engine: EngineServer
) -> None:
    decision = await decided(client, input=ABROAD)
    engine.beside = lambda body: {**answer_of(body, 0.5), "choices": _without_logprobs(body)}
    explanation = await explained(client, decision)
    assert (explanation["state"], explanation["problem"], explanation["sentences"]) == (
        "failed",
        "no_score",
        [],
    )
    engine.beside = likely_abroad
    assert (await explained(client, decision))["state"] == "ready"


async def test_a_next_try_pays_for_missing_scores_alone(
    explainable: None, client: httpx.AsyncClient, engine: EngineServer
) -> None:
    decision = await decided(client, input=ABROAD)
    before, scored = len(engine.asked), making._scores

    async def busy_after_two(*arguments: Any) -> list[float | None]:
        if len(engine.asked) >= before + 2:
            raise Wait(0.0, "rate_limit_exceeded")
        return await scored(*arguments)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(making, "_scores", busy_after_two)
        assert (await explained(client, decision))["state"] == "making"
    assert (await explained(client, decision))["state"] == "ready"
    assert len(engine.asked) == before + 3


async def test_an_engine_that_fails_delays_an_explanation_and_no_score_is_paid_twice(
    explainable: None, client: httpx.AsyncClient, engine: EngineServer
) -> None:
    decision = await decided(client, input=ABROAD)
    before = len(engine.asked)

    def fails_at_the_third(body: dict[str, Any]) -> dict[str, Any]:
        if len(engine.asked) == before + 2:
            engine.status = 500
        return likely_abroad(body)

    engine.beside = fails_at_the_third
    assert (await explained(client, decision))["state"] == "making"
    count = len(engine.asked)
    engine.status, engine.beside = 200, likely_abroad
    await in_database(DecisionExplanation.objects.update)(due_at=timezone.now())
    assert (await explained(client, decision))["state"] == "ready"
    assert len(engine.asked) == count + 1


async def test_an_explanation_that_nobody_can_make_is_given_up(
    explainable: None, client: httpx.AsyncClient
) -> None:
    decision = await decided(client, input=ABROAD)

    async def busy(*arguments: Any) -> list[float | None]:
        raise Wait(0.0, "rate_limit_exceeded")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(making, "_scores", busy)
        patch.setattr(making, "MOST_ATTEMPTS", 2)
        states = [(await explained(client, decision))["state"] for _ in range(3)]
    assert states == ["making", "making", "failed"]
    assert (await explained(client, decision))["state"] == "ready"


def _without_logprobs(body: dict[str, Any]) -> list[dict[str, Any]]:
    choice = answer_of(body, 0.5)["choices"][0]
    return [{**choice, "logprobs": None}]


async def test_a_review_gets_its_explanation_by_itself(
    explainable: None, client: httpx.AsyncClient
) -> None:
    decision = await decided(client, input=ABROAD)
    assert decision["outcome"] == "review"
    await asyncio.to_thread(_make_all)
    row = await in_database(DecisionExplanation.objects.get)()
    assert row.state == ExplanationState.READY


async def test_explanations_that_come_later_share_a_context_and_few_are_made_at_once(
    explainable: None,
    client: httpx.AsyncClient,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    opened, at_once, most = [], 0, 0
    open_one, make_one = Context.open, driving._make_one

    async def opening() -> Context:
        opened.append(await open_one())
        return opened[-1]

    async def counted(*arguments: Any) -> None:
        nonlocal at_once, most
        at_once += 1
        most = max(most, at_once)
        await make_one(*arguments)
        at_once -= 1

    monkeypatch.setattr(Context, "open", opening)
    monkeypatch.setattr(driving, "_make_one", counted)
    monkeypatch.setattr(driving, "POLL_S", 0.05)
    for _ in range(5):
        await decided(client, input=ABROAD)
    making_all = asyncio.create_task(asyncio.to_thread(_make_all, linger_s=3))
    await _until_ready(5)
    await decided(client, input=ABROAD)
    await _until_ready(6)
    await making_all
    assert (len(opened), most) == (1, driving.LANES)


async def test_one_that_cannot_be_made_and_a_busy_model_hold_up_no_other(
    explainable: None,
    client: httpx.AsyncClient,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    make_one, rows_tried = driving._make_one, list[Any]()

    async def odd(context: Context, row: DecisionExplanation) -> None:
        rows_tried.append(row.pk)
        if len(rows_tried) == 1:
            raise LookupError("an answer without choices")
        if len(rows_tried) == 2:
            await asyncio.sleep(60)
        await make_one(context, row)

    monkeypatch.setattr(driving, "_make_one", odd)
    monkeypatch.setattr(driving, "LANES", 1)
    monkeypatch.setattr(driving, "PATIENCE_S", 0.2)
    for _ in range(4):
        await decided(client, input=ABROAD)
    await asyncio.to_thread(_make_all)
    assert len(rows_tried) == 2  # the others of the busy model wait without a try
    rows = await in_database(lambda: list(DecisionExplanation.objects.all()))()
    assert {row.state for row in rows} == {ExplanationState.MAKING}
    assert all(row.due_at > timezone.now() + timedelta(seconds=30) for row in rows)

    def be_due() -> None:
        DecisionExplanation.objects.update(due_at=timezone.now())

    await in_database(be_due)()
    monkeypatch.setattr(driving, "PATIENCE_S", 60)
    await asyncio.to_thread(_make_all)
    await _until_ready(4)


async def test_a_process_that_ends_begins_no_other(
    explainable: None,
    client: httpx.AsyncClient,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(driving, "_ending", threading.Event())
    await decided(client, input=ABROAD)
    making_all = asyncio.create_task(asyncio.to_thread(_make_all, linger_s=60))
    await _until_ready(1)
    driving.stop()
    await asyncio.wait_for(making_all, 20)
    await decided(client, input=ABROAD)
    await asyncio.to_thread(_make_all, linger_s=60)
    waiting = DecisionExplanation.objects.filter(state=ExplanationState.MAKING)
    assert await in_database(waiting.count)() == 1


async def test_a_person_who_is_erased_meanwhile_gets_no_explanation(
    explainable: None,
    client: httpx.AsyncClient,
    monkeypatch: pytest.MonkeyPatch,
) -> None:

    def erased(*_: Any) -> None:
        raise Unreadable("the key has been destroyed")

    decision = await decided(client, input=ABROAD)
    with monkeypatch.context() as patch:
        patch.setattr(DecisionExplanation, "succeed", erased)
        explanation = await explained(client, decision)
    assert (explanation["state"], explanation["problem"]) == ("failed", "input_erased")


async def test_an_erased_person_holds_up_no_other(
    explainable: None,
    client: httpx.AsyncClient,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    succeed, erased = DecisionExplanation.succeed, list[Any]()

    def erased_first(self: DecisionExplanation, packed: bytes) -> None:
        """The first one's row and key are gone, as by inference/personal_data/decisions.py."""
        if not erased:
            erased.append(self.pk)
            DecisionExplanation.objects.filter(pk=self.pk).delete()
            raise Unreadable("the key has been destroyed")
        succeed(self, packed)

    monkeypatch.setattr(DecisionExplanation, "succeed", erased_first)
    monkeypatch.setattr(driving, "LANES", 1)
    for _ in range(2):
        await decided(client, input=ABROAD)
    await asyncio.to_thread(_make_all)
    await _until_ready(1)
    assert erased


async def _until_ready(count: int) -> None:
    ready = DecisionExplanation.objects.filter(state=ExplanationState.READY)
    async with asyncio.timeout(30):
        while await in_database(ready.count)() < count:
            await asyncio.sleep(0.05)


def _make_all(linger_s: float = 0) -> None:
    try:
        driving.make_all(linger_s)
    finally:
        connections.close_all()


async def test_a_contest_is_entered_decided_and_answered(
    policy: DecisionPolicy, client: httpx.AsyncClient
) -> None:
    decision = await decided(client)
    path = f"{PATH}/{decision['id']}/contest"
    assert (await client.get(path)).json()["error"]["code"] == "contest_not_found"
    entered = await client.post(path, json={"statement": "I was at home"})
    assert (entered.status_code, entered.json()["state"]) == (200, "open")
    assert entered.json()["due_at"] - entered.json()["created_at"] == 30 * 86_400
    again = await client.post(path, json={})
    assert (again.status_code, again.json()["error"]["code"]) == (409, "already_contested")

    def review() -> None:
        row = Review.objects.select_related("decision__version__policy").get()
        reviewing.claim(row, by="member:1")
        row.decide("approve", "You were right", by="member:1")

    await in_database(review)()
    explanation = (await client.get(path)).json()
    assert (explanation["state"], explanation["answer"]) == ("changed", "You were right")
    assert explanation["final_outcome"] == "approve"
    shown = (await client.get(f"{PATH}/{decision['id']}")).json()
    assert shown["final_outcome"] == "approve"


async def test_a_contest_whose_commit_is_cut_off_is_entered_once(
    policy: DecisionPolicy,
    client: httpx.AsyncClient,
    monkeypatch: pytest.MonkeyPatch,
    settings: Settings,
) -> None:
    settings.FAILOVER_WAIT_S = 20
    decision = await decided(client)
    with commits_cut_off(monkeypatch):
        entered = await client.post(f"{PATH}/{decision['id']}/contest", json={})
    assert (entered.status_code, entered.json()["state"]) == (200, "open")
    assert await in_database(Contest.objects.count)() == 1


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"statement": 1}, "statement"),
        ({"statement": "x" * 4001}, "statement"),
        ({"statment": "I was at home"}, "statment"),
    ],
)
async def test_a_wrong_contest_is_refused_by_its_field(
    policy: DecisionPolicy, client: httpx.AsyncClient, body: dict[str, Any], param: str
) -> None:
    decision = await decided(client)
    answer = await client.post(f"{PATH}/{decision['id']}/contest", json=body)
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, param)
    assert not await in_database(Contest.objects.exists)()


async def test_others_find_no_decision_to_contest_or_explain(
    policy: DecisionPolicy, client: httpx.AsyncClient, globex: Tenant
) -> None:
    decision = await decided(client)
    async with await client_of(globex) as other:
        for asking, name in ((other, decision["id"]), (client, f"dec_{uuid4().hex}")):
            path = f"{PATH}/{name}"
            contested = await asking.post(f"{path}/contest", json={})
            assert contested.json()["error"]["code"] == "decision_not_found"
            assert (await asking.get(f"{path}/explanation")).status_code == 404
