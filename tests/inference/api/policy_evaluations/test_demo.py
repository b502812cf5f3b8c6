"""`forebay demo fraud` on a running platform: from nothing to decisions on record."""

import asyncio
import math
from typing import Any

import httpx
import pytest
from channels.db import database_sync_to_async
from django.db import connections

from config.demo import fraud
from config.demo.fraud import FraudDemo
from config.demo.http_api import Unready
from config.demo.payment_inputs import Input
from inference.api.evaluations import policies as evaluations
from inference.api.policy_trials import driver as trials
from inference.models import Decision, DecisionPolicy
from tenants.models import ApiKey, Tenant
from tests.inference.api.policy_evaluations.engine_answers import answer_of
from tests.inference.engine_server import EngineServer

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.timeout(300)]
in_database = database_sync_to_async


class ThroughClient:
    """Asks the inference API of the tests' own process."""

    def __init__(self, client: httpx.AsyncClient, loop: asyncio.AbstractEventLoop) -> None:
        self._client, self._loop = client, loop

    def decide(self, key: str, policy: str, person: str, values: Input) -> dict[str, Any]:
        body = {"policy": policy, "person": person, "input": values}
        return self._post("/v1/decisions", key, body)

    def feed_back(self, key: str, decision: str, feedback: str) -> None:
        self._post(f"/v1/decisions/{decision}/outcome", key, {"feedback": feedback})

    def _post(self, path: str, key: str, body: dict[str, Any]) -> dict[str, Any]:
        headers = {"Authorization": f"Bearer {key}"}
        asking = self._client.post(path, json=body, headers=headers)
        answer = asyncio.run_coroutine_threadsafe(asking, self._loop).result(60)
        assert answer.status_code == 200, answer.text
        fields: dict[str, Any] = answer.json()
        return fields


def _run(tenant: str, decisions: ThroughClient, lines: list[str]) -> None:
    try:
        shown = FraudDemo.of(tenant, None, decisions)
        shown.tell = lines.append
        shown.run(8)
    finally:
        connections.close_all()


def _drive() -> None:
    try:
        evaluations.drive_due()
        trials.drive_all()
    finally:
        connections.close_all()


async def test_it_makes_a_policy_that_decides_and_leaves_no_key_behind(
    client: httpx.AsyncClient, engine: EngineServer, acme: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fraud, "LOOK_EVERY_S", 0.1)
    engine.beside = answer_of
    loop, lines = asyncio.get_running_loop(), list[str]()
    running = loop.run_in_executor(None, _run, "acme", ThroughClient(client, loop), lines)
    while not running.done():
        await loop.run_in_executor(None, _drive)
        await asyncio.sleep(0.05)
    await running
    policy = await in_database(DecisionPolicy.objects.get)(name="demo-payments")
    assert policy.champion == 2
    version = await in_database(policy.versions.get)(number=2)
    assert version.report
    assert version.report["sides"]["policy"]["figures"]["auc"]["value"] > 0.8
    rows = await in_database(lambda: list(Decision.objects.all()))()
    assert len(rows) == 8
    assert {row.feedback for row in rows} <= {"positive", "negative"}
    assert all(row.score is not None and not math.isnan(row.score) for row in rows)
    live = ApiKey.objects.live().filter(name="demo-payments")
    assert not await in_database(live.exists)()
    assert "policy-evaluations" in lines[-1]


async def test_a_tenant_that_is_not_there_is_said(engine: EngineServer) -> None:
    with pytest.raises(Unready, match="there is no tenant nobody"):
        await in_database(FraudDemo.of)("nobody", None, ThroughClient(None, None))  # type: ignore[arg-type]
