"""A policy about payments, and an engine that says how likely `yes` is."""

import math
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import pytest
from channels.db import database_sync_to_async

from inference.decisions import policies
from inference.decisions.spec import PolicySpec, of_json
from inference.models import DecisionPolicy, DecisionPolicyVersion
from tenants.models import ApiKey, Tenant
from tests.inference.api.decisions.asking import POLICY, SPEC
from tests.inference.engine_server import EngineServer

in_database = database_sync_to_async


@pytest.fixture
def scores(engine: EngineServer) -> Callable[[float], None]:
    """Lets the engine answer with this probability of `yes`."""

    def say(p: float) -> None:
        engine.beside = lambda body: answer_of(body, p)

    say(0.5)
    return say


def answer_of(body: dict[str, Any], p: float) -> dict[str, Any]:
    top = [{"token": token, "logprob": math.log(q)} for token, q in (("yes", p), ("no", 1 - p))]
    choice = {
        "index": 0,
        "finish_reason": "length",
        "message": {"role": "assistant", "content": "yes"},
        "logprobs": {"content": [{**top[0], "top_logprobs": top}]},
    }
    usage = {"prompt_tokens": 30, "completion_tokens": 1, "total_tokens": 31}
    head = {"id": "theirs", "object": "chat.completion", "created": 1, "model": "theirs"}
    return {**head, "choices": [choice], "usage": usage}


def promoted(tenant: Tenant, spec: PolicySpec, name: str = POLICY) -> DecisionPolicy:
    policy = policies.create(tenant, name, spec, by="member:1")
    policies.promote(approved(policy.versions.get()), by="member:2")
    policy.refresh_from_db()
    return policy


def approved(version: DecisionPolicyVersion) -> DecisionPolicyVersion:
    key, _text = ApiKey.issue(version.tenant, "policies", by="test")
    version.submit(by="member:1", caller=key)
    version.pass_trial({})
    version.approve(by="member:2")
    return version


Promote = Callable[..., Awaitable[DecisionPolicy]]


@pytest.fixture
def promote(acme: Tenant, scores: Callable[[float], None]) -> Promote:
    """Makes a policy of acme that decides, with these fields of its JSON form."""

    async def make(**fields: Any) -> DecisionPolicy:
        return await in_database(promoted)(acme, of_json(SPEC | fields))

    return make


@pytest.fixture
async def policy(promote: Promote, client: httpx.AsyncClient) -> DecisionPolicy:
    return await promote()
