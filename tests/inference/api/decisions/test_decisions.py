"""`POST /v1/decisions` over HTTP, with a runner and an engine behind it."""

from collections.abc import Callable
from uuid import UUID

import httpx
import pytest
from channels.db import database_sync_to_async

from audit.models import Event, Payload
from inference.models import Completion, Decision, DecisionPolicy, Usage
from tenants.models import Person, Tenant
from tenants.scope import tenant_scope
from tests.inference.api.conftest import client_of
from tests.inference.api.decisions.asking import INPUT, PATH, decide, decided
from tests.inference.api.decisions.conftest import Promote
from tests.inference.engine_server import EngineServer

in_database = database_sync_to_async
Scores = Callable[[float], None]


@pytest.mark.parametrize(
    ("p", "outcome", "code"),
    [
        (0.1, "approve", "score_below_review"),
        (0.5, "review", "score_from_review"),
        (0.9, "block", "score_from_block"),
    ],
)
async def test_the_score_of_one_token_decides(
    policy: DecisionPolicy,
    client: httpx.AsyncClient,
    engine: EngineServer,
    scores: Scores,
    p: float,
    outcome: str,
    code: str,
) -> None:
    scores(p)
    decision = await decided(client)
    assert (decision["outcome"], decision["source"], decision["fallback"]) == (
        outcome,
        "model",
        None,
    )
    assert decision["score"] == decision["raw_score"] == pytest.approx(p)
    assert decision["thresholds"] == {"review": 0.3, "block": 0.8}
    assert [reason["code"] for reason in decision["reasons"]] == [code]
    (sent,) = engine.asked
    assert (sent["max_tokens"], sent["temperature"]) == (1, 0)
    assert sent["messages"][0]["content"].startswith("Payment of 12.5 to Corner shop")


async def test_a_decision_is_on_record_under_its_persons_key(
    policy: DecisionPolicy, client: httpx.AsyncClient, acme: Tenant
) -> None:
    decision = await decided(client)

    def look() -> None:
        row = Decision.objects.get(pk=UUID(decision["id"].removeprefix("dec_")))
        with tenant_scope(acme.pk):
            person = Person.objects.known(acme.pk, "customer-1")
        assert person
        assert row.person_id == person.pk
        assert row.completion_id
        assert row.content.input == INPUT
        assert b"Corner shop" not in bytes(row.ciphertext)
        event = Event.objects.get(action="decision:make")
        assert (event.request_id, event.subject_id) == (row.pk, person.pk)
        assert (event.detail["policy"], event.detail["outcome"]) == ("payments", "review")
        # The prompt is about the person, too: it is erased with them.
        prompt = Payload.objects.get(request_id=row.completion_id, field="request")
        assert prompt.data_key_id == row.data_key_id
        usage = Usage.objects.get(completion_id=row.completion_id)
        assert (usage.klass, usage.completion_tokens) == ("realtime", 1)
        assert Completion.objects.get(pk=row.completion_id).route == PATH

    await in_database(look)()


async def test_a_decision_is_retrieved_listed_and_gets_feedback(
    policy: DecisionPolicy, client: httpx.AsyncClient, acme: Tenant
) -> None:
    first, second = await decided(client), await decided(client, person="customer-2")
    path = f"{PATH}/{first['id']}"
    assert (await client.get(path)).json() == {**first, "input": INPUT}
    page = (await client.get(PATH, params={"limit": 1, "policy": "payments"})).json()
    assert [each["id"] for each in page["data"]] == [second["id"]]
    assert page["has_more"]
    rest = (await client.get(PATH, params={"after": page["last_id"]})).json()
    assert [each["id"] for each in rest["data"]] == [first["id"]]
    assert not rest["has_more"]
    assert "input" not in rest["data"][0]

    for feedback in ("negative", "positive", "positive"):
        answer = await client.post(f"{path}/outcome", json={"feedback": feedback})
        assert answer.json()["feedback"] == feedback
    events = await in_database(Event.objects.filter(action="decision:feedback").count)()
    assert events == 2  # the repeated one changed nothing
    wrong = await client.post(f"{path}/outcome", json={"feedback": "fraud"})
    assert (wrong.status_code, wrong.json()["error"]["param"]) == (400, "feedback")

    async with await client_of(acme) as other:
        for answer in (
            await other.get(path),
            await other.post(f"{path}/outcome", json={"feedback": "positive"}),
        ):
            assert answer.json()["error"]["code"] == "decision_not_found"
        assert (await other.get(PATH)).json()["data"] == []


async def test_a_policy_that_does_not_decide_is_not_found(
    policy: DecisionPolicy, client: httpx.AsyncClient
) -> None:
    answer = await decide(client, policy="loans")
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "policy_not_found")
    await in_database(policy.stop)(by="test")


async def test_a_decision_is_written_after_restriction_no_more(
    policy: DecisionPolicy, client: httpx.AsyncClient
) -> None:
    answer = await decide(client, person=" ")
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "person")


async def test_a_persons_decisions_stay_with_champion_or_challenger(
    promote: Promote, client: httpx.AsyncClient
) -> None:
    await promote()
    for number in range(3):
        decision = await decided(client, person=f"customer-{number}")
        again = await decided(client, person=f"customer-{number}")
        assert decision["version"] == again["version"] == 1
