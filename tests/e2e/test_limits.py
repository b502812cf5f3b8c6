"""A tenant's limits hold, and a refusal says when to come back."""

import json
from uuid import uuid4

import pytest

from tests.e2e.ask import body, client
from tests.e2e.conftest import Mock, Platform

pytestmark = pytest.mark.e2e


def new_key(platform: Platform, *options: str) -> str:
    name = f"t{uuid4().hex[:8]}"
    platform.manage("create_tenant", name, *options, "--json")
    made = json.loads(platform.manage("create_api_key", name, "--name", "k", "--json"))
    return str(made["api_key"])


def test_the_bucket_holds_its_burst_and_no_more(staged: Platform, mock: Mock) -> None:
    key = new_key(staged, "--requests-per-minute", "1", "--burst", "3")
    with client(staged, key) as asking:
        answers = [asking.post("/v1/chat/completions", json=body(max_tokens=1)) for _ in range(5)]
    assert [answer.status_code for answer in answers] == [200, 200, 200, 429, 429]
    refused = answers[-1]
    assert refused.json()["error"]["code"] == "rate_limit_exceeded"
    assert 50 <= int(refused.headers["retry-after"]) <= 60
    assert refused.headers["x-ratelimit-scope"] == "rate"
    assert answers[0].headers["x-ratelimit-remaining-requests"] == "2"


def test_requests_at_once(staged: Platform, mock: Mock) -> None:
    mock.behave(tokens=200, interval_ms=10)
    key = new_key(staged, "--max-concurrency", "1")
    with client(staged, key) as asking, client(staged, key) as other:
        with asking.stream("POST", "/v1/chat/completions", json=body(stream=True)):
            refused = other.post("/v1/chat/completions", json=body())
            assert refused.status_code == 429
            assert refused.headers["x-ratelimit-scope"] == "concurrency"
        mock.behave(tokens=1)

        def again() -> bool:
            return other.post("/v1/chat/completions", json=body()).status_code == 200

        from tests.e2e.ask import eventually

        assert eventually(again, 3)  # the place is free again soon after the client has gone
