"""Champion, challenger and shadow."""

import asyncio
from typing import Any
from uuid import UUID

import httpx
import pytest
from channels.db import database_sync_to_async

from inference.decisions import policies
from inference.decisions.spec import of_json
from inference.models import Decision, DecisionPolicy, DecisionPolicyVersion, Usage
from inference.queue import prefix_hashes
from tests.inference.api.decisions.asking import SPEC, decided
from tests.inference.api.decisions.conftest import Promote, approved
from tests.inference.engine_server import EngineServer

in_database = database_sync_to_async
STRICT = SPEC | {"thresholds": {"review": 0.1, "block": 0.4}}


def second(policy: DecisionPolicy) -> DecisionPolicyVersion:
    return approved(policies.write(policy, of_json(STRICT), by="member:1"))


async def test_a_person_stays_with_one_of_both(promote: Promote, client: httpx.AsyncClient) -> None:
    policy = await promote()
    challenger = await in_database(second)(policy)
    await in_database(policies.challenge)(challenger, 0.5, by="member:2")
    versions = list[int]()
    for number in range(12):
        person = f"customer-{number}"
        first, again = [await decided(client, person=person) for _ in range(2)]
        assert first["version"] == again["version"]
        assert first["challenger"] == (first["version"] == 2)
        assert first["outcome"] == ("block" if first["challenger"] else "review")
        versions.append(first["version"])
    assert set(versions) == {1, 2}


async def test_a_shadow_is_noted_and_changes_nothing(
    promote: Promote, client: httpx.AsyncClient, engine: EngineServer
) -> None:
    policy = await promote()
    shadow = await in_database(second)(policy)
    await in_database(policies.run_in_shadow)(shadow, by="member:2")
    decision = await decided(client)
    assert (decision["version"], decision["outcome"]) == (1, "review")
    row = await _noted(decision["id"])
    assert (row.shadow_version_id, row.shadow_outcome) == (shadow.pk, "block")
    assert row.shadow_score == 0.5
    assert row.outcome == "review"
    usage = await in_database(Usage.objects.get)(completion_id=row.shadow_completion_id)
    assert (usage.klass, usage.completion_tokens) == ("preprocess", 1)
    assert len(engine.asked) == 2


async def test_a_shadow_that_hangs_delays_nobody(
    promote: Promote, client: httpx.AsyncClient, engine: EngineServer
) -> None:
    policy = await promote(deadline_ms=4_000)
    shadow = await in_database(second)(policy)
    await in_database(policies.run_in_shadow)(shadow, by="member:2")
    engine.goes_on.clear()
    decision = await decided(client)
    assert (decision["fallback"], decision["outcome"]) == ("engine_late", "review")
    engine.goes_on.set()
    assert (await _noted(decision["id"])).shadow_outcome == "block"


async def _noted(decision_id: str) -> Decision:
    pk = UUID(decision_id.removeprefix("dec_"))
    async with asyncio.timeout(20):
        while True:
            row = await in_database(Decision.objects.get)(pk=pk)
            if row.shadow_version_id:
                return row
            await asyncio.sleep(0.05)


async def test_decisions_of_a_version_prefer_one_engine(
    promote: Promote, client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its cache has the beginning of the template, which no other part of their prompts shares."""
    preferred = list[str]()

    def note(*_: Any, affinity: str = "", **__: Any) -> str:
        preferred.append(affinity)
        return ""

    policy = await promote()
    monkeypatch.setattr(prefix_hashes, "of", note)
    for number in range(2):
        await decided(client, person=f"customer-{number}")
    version = await in_database(policy.versions.get)()
    assert preferred == [version.pk.hex] * 2
