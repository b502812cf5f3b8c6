"""The same transaction is never decided twice, whatever is lost between."""

import asyncio
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from channels.db import database_sync_to_async

from audit.models import Event
from audit.trail.group_commit import StoreUnavailable
from inference.api.decision_flow import clock
from inference.decisions import current_version
from inference.intake.context import Context
from inference.models import Completion, Decision, DecisionPolicy
from tests.inference.api.decisions.asking import INPUT, decide
from tests.inference.api.decisions.conftest import Promote
from tests.inference.engine_server import EngineServer

in_database = database_sync_to_async
KEY = "tx-1"


async def made() -> tuple[int, int, int]:
    """Returns the numbers of decisions, their events, and requests to the model."""
    events = Event.objects.filter(action="decision:make")
    rows = Decision.objects.all(), events, Completion.objects.all()
    decisions, answers, completions = [await in_database(each.count)() for each in rows]
    return decisions, answers, completions


async def test_a_key_has_one_decision(
    policy: DecisionPolicy, client: httpx.AsyncClient, scores: Callable[[float], None]
) -> None:
    first = await decide(client, key=KEY)
    scores(0.99)  # the model would say something else by now
    again = await decide(client, key=KEY)
    assert again.json() == first.json()
    assert again.headers["x-forebay-replayed"] == "true"
    assert await made() == (1, 1, 1)
    other = await decide(client, key=KEY, input={**INPUT, "amount": 13})
    assert (other.status_code, other.json()["error"]["code"]) == (422, "idempotency_key_reused")


async def test_of_many_at_once_one_decides(
    policy: DecisionPolicy, client: httpx.AsyncClient
) -> None:
    answers = await asyncio.gather(*(decide(client, key=KEY) for _ in range(5)))
    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.json()["id"] for answer in answers}) == 1
    assert await made() == (1, 1, 1)


async def test_what_was_lost_before_the_record_is_decided_by_the_same_answer(
    policy: DecisionPolicy,
    client: httpx.AsyncClient,
    context: Context,
    scores: Callable[[float], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Die between the engine's answer and the record."""

    async def dies(_: Any) -> None:
        raise StoreUnavailable("gone")

    scores(0.1)
    with monkeypatch.context() as patch:
        patch.setattr(context.commits.decided, "write", dies)
        assert (await decide(client, key=KEY)).status_code == 503
    assert await made() == (0, 0, 1)
    scores(0.99)
    answer = await decide(client, key=KEY)
    assert (answer.json()["outcome"], answer.json()["fallback"]) == ("approve", None)
    assert "x-forebay-replayed" not in answer.headers
    assert await made() == (1, 1, 1)


async def test_a_fallback_is_kept_for_its_key(
    promote: Promote,
    client: httpx.AsyncClient,
    engine: EngineServer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(clock, "RECORD_S", 1.0)
    await promote(deadline_ms=4_000)
    engine.goes_on.clear()
    first = (await decide(client, key=KEY)).json()
    engine.goes_on.set()
    assert first["fallback"] == "engine_late"
    assert (await decide(client, key=KEY)).json() == first


async def test_a_key_whose_decision_asked_no_model_asks_none_later(
    policy: DecisionPolicy,
    client: httpx.AsyncClient,
    engine: EngineServer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    await decide(client)  # its person is known afterwards, and so looked up no more
    with monkeypatch.context() as patch:
        patch.setattr(current_version, "has_changed", lambda *_: True)
        first = (await decide(client, key=KEY)).json()
    assert first["fallback"] == "model_changed"
    before = len(engine.asked)
    again = await decide(client, key=KEY)
    assert (again.json(), again.headers["x-forebay-replayed"]) == (first, "true")
    assert len(engine.asked) == before


async def test_a_policy_that_changed_keeps_what_it_had_decided(
    policy: DecisionPolicy, client: httpx.AsyncClient
) -> None:
    first = (await decide(client, key=KEY)).json()
    await in_database(policy.stop)(by="test")
    assert (await decide(client, key=KEY)).json() == first
