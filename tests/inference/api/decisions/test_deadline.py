"""An answer comes within the deadline. Where the engine gives none, the fallback decides."""

import asyncio
import time
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from channels.db import database_sync_to_async

from inference.api.call import Call
from inference.api.decision_flow import clock, engine_score, flow
from inference.decisions import current_version
from inference.errors import Unauthorized, error_body
from inference.intake.context import Context
from inference.intake.errors import EnginesPaused, NotAdmitted, QueueFull
from inference.models import Completion, Decision, State
from inference.stream.frames import Frame, Kind
from tenants.rate_limits.admission import Admission
from tests.inference.api.decisions.asking import INPUT, decide, decided
from tests.inference.api.decisions.conftest import Promote
from tests.inference.engine_server import EngineServer

in_database = database_sync_to_async
DEADLINE_MS = 4_000
RULES = {
    "kind": "rules",
    "outcome": "approve",
    "rules": [{"input": "amount", "test": "at_least", "value": 500, "outcome": "block"}],
}


@pytest.fixture(autouse=True)
def slow_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """A second for the record: the tests share a busy machine."""
    monkeypatch.setattr(clock, "RECORD_S", 1.0)


@pytest.fixture
def stuck(engine: EngineServer) -> EngineServer:
    """An engine that does not answer."""
    engine.goes_on.clear()
    return engine


async def test_a_late_engine_is_cancelled_and_the_fallback_decides(
    promote: Promote, client: httpx.AsyncClient, stuck: EngineServer
) -> None:
    await promote(deadline_ms=DEADLINE_MS)
    began = time.monotonic()
    answer = await decide(client)
    assert time.monotonic() - began < DEADLINE_MS / 1000 + 0.5
    decision = answer.json()
    assert answer.headers["x-forebay-fallback"] == decision["fallback"] == "engine_late"
    assert (decision["outcome"], decision["source"], decision["score"]) == ("review", "rules", None)
    assert decision["reasons"][0]["code"] == "engine_late"
    assert decision["latency_ms"] <= DEADLINE_MS

    async def ended() -> bool:
        row = await in_database(Completion.objects.get)(pk=decision["completion"])
        return row.state in (State.CANCELLED, State.FAILED)  # the worker has the deadline, too

    stuck.goes_on.set()
    await _eventually(ended)


async def test_rules_decide_and_are_named(
    promote: Promote, client: httpx.AsyncClient, stuck: EngineServer
) -> None:
    await promote(deadline_ms=DEADLINE_MS, fallback=RULES)
    large = await decided(client, input={**INPUT, "amount": 900})
    assert large["outcome"] == "block"
    assert [reason["code"] for reason in large["reasons"]] == ["engine_late", "rule"]
    assert "`amount` is at least 500" in large["reasons"][1]["message"]
    assert (await decided(client))["outcome"] == "approve"


async def test_a_tree_decides_with_a_score(
    promote: Promote, client: httpx.AsyncClient, stuck: EngineServer
) -> None:
    tree = {"features": ["amount"], "intercept": 0.0, "trees": [[[0, 100, 1, 2, 1], [-2], [2]]]}
    await promote(deadline_ms=DEADLINE_MS, tree=tree, fallback={"kind": "tree"})
    decision = await decided(client, input={**INPUT, "amount": 900})
    assert (decision["source"], decision["outcome"]) == ("tree", "block")
    assert decision["score"] == pytest.approx(0.8808, abs=1e-3)


@pytest.mark.parametrize(("status", "reason"), [(500, "engine_failed"), (400, "engine_refused")])
async def test_an_engine_that_fails_or_refuses(
    promote: Promote, client: httpx.AsyncClient, engine: EngineServer, status: int, reason: str
) -> None:
    await promote()
    engine.status = status
    assert (await decided(client))["fallback"] == reason


@pytest.mark.parametrize("answer", [None, {"choices": []}, {"choices": [{"logprobs": None}]}])
async def test_an_answer_without_probabilities_has_no_score(
    promote: Promote, client: httpx.AsyncClient, engine: EngineServer, answer: Any
) -> None:
    """A text that looks like a number is none."""
    await promote()
    engine.beside = lambda body: answer
    engine.words = ["0.99"]
    decision = await decided(client)
    assert decision["fallback"] in ("no_score", "engine_failed")
    assert decision["score"] is None


@pytest.mark.parametrize(
    ("problem", "reason"),
    [(QueueFull, "queue_full"), (EnginesPaused, "engine_paused")],
)
async def test_no_room_for_a_request(
    promote: Promote,
    client: httpx.AsyncClient,
    engine: EngineServer,
    monkeypatch: pytest.MonkeyPatch,
    problem: Callable[..., Exception],
    reason: str,
) -> None:
    policy = await promote()

    async def full(*_: Any) -> Any:
        from inference.engines import pools_of  # in force by now

        raise problem("small", 3) if problem is EnginesPaused else problem(pools_of("small"), 3)

    monkeypatch.setattr(Call, "submit", full)
    decision = await decided(client)
    assert (decision["fallback"], decision["completion"]) == (reason, None)
    assert engine.asked == []
    assert policy.name == decision["policy"]


async def test_another_version_of_the_model_does_not_score(
    promote: Promote, client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    await promote()
    monkeypatch.setattr(current_version, "has_changed", lambda *_: True)
    assert (await decided(client))["fallback"] == "model_changed"


@pytest.mark.parametrize(("tier", "status"), [("tokens", 200), ("quota", 200), ("rate", 429)])
async def test_limits_of_requests_hold_and_others_end_in_the_fallback(
    promote: Promote,
    client: httpx.AsyncClient,
    monkeypatch: pytest.MonkeyPatch,
    tier: str,
    status: int,
) -> None:
    await promote()

    async def refuse(*_: Any) -> Any:
        admission = Admission(tier, limit=10, used=10, frees_in_ms=1000, asked=1)
        raise NotAdmitted(admission, message="there is no room")

    monkeypatch.setattr(Call, "submit", refuse)
    answer = await decide(client)
    assert answer.status_code == status
    if status == 200:
        assert answer.json()["fallback"] == "limit_reached"


async def test_without_a_record_there_is_no_answer(
    promote: Promote, client: httpx.AsyncClient, context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    await promote(deadline_ms=DEADLINE_MS)

    async def hangs(_: Any) -> None:
        await asyncio.sleep(60)

    monkeypatch.setattr(context.commits.decided, "write", hangs)
    began = time.monotonic()
    answer = await decide(client)
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "2")
    assert time.monotonic() - began < DEADLINE_MS / 1000 + 0.5
    assert not await in_database(Decision.objects.exists)()


def test_a_caller_whose_access_ended_gets_no_fallback() -> None:
    lost = Frame(b"", 99, 1, Kind.ERROR, error_body("revoked", "access_revoked", 401), 401)
    with pytest.raises(Unauthorized) as problem:
        engine_score._reason(lost)
    assert problem.value.code == "access_revoked"


async def _eventually(holds: Callable[[], Any]) -> None:
    async with asyncio.timeout(20):
        while not await holds():
            await asyncio.sleep(0.05)


async def test_a_policy_that_cannot_be_read_is_not_waited_for(
    promote: Promote, client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def hangs(*_: Any) -> None:
        await asyncio.Event().wait()

    await promote()
    monkeypatch.setattr(flow, "serving", hangs)
    monkeypatch.setattr(flow, "UNREAD_MS", 100)
    answer = await decide(client)
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "server_overloaded")
