"""A tenant's limits hold, and a refusal says when to come back."""

import json
import time
from typing import Any
from uuid import UUID, uuid4

import httpx
import psycopg
import pytest
from django.conf import settings

from tests.e2e.ask import body, client, eventually
from tests.e2e.conftest import Mock, Platform

pytestmark = pytest.mark.e2e


def new_tenant(platform: Platform, *options: str) -> str:
    name = f"t{uuid4().hex[:8]}"
    platform.manage("create_tenant", name, *options, "--json")
    return name


def key_of(platform: Platform, tenant: str, *options: str) -> str:
    made = platform.manage("create_api_key", tenant, "--name", "k", *options, "--json")
    return str(json.loads(made)["api_key"])


def new_key(platform: Platform, *options: str) -> str:
    return key_of(platform, new_tenant(platform, *options))


def ask(asking: httpx.Client, **fields: Any) -> httpx.Response:
    return asking.post("/v1/chat/completions", json=body(**{"max_tokens": 1, **fields}))


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

        assert eventually(again, 3)  # the place is free again soon after the client has gone


def test_who_waits_as_long_as_told_gets_in(staged: Platform, mock: Mock) -> None:
    key = new_key(staged, "--requests-per-minute", "30", "--burst", "2")
    with client(staged, key) as asking:
        while (refused := ask(asking)).status_code == 200:
            pass
        wait_s = int(refused.headers["retry-after-ms"]) / 1000
        assert 0 < wait_s <= int(refused.headers["retry-after"]) <= 2
        time.sleep(wait_s + 0.02)
        assert ask(asking).status_code == 200
        assert ask(asking).status_code == 429


def test_a_refusal_can_be_looked_up(staged: Platform, mock: Mock) -> None:
    key = new_key(staged, "--requests-per-minute", "1", "--burst", "1")
    with client(staged, key) as asking:
        assert ask(asking).status_code == 200
        ids = {ask(asking).json()["error"]["refusal_id"] for _ in range(3)}
        refused = ask(asking)
    assert refused.headers["x-refusal-id"] in ids
    assert refused.headers["x-refusal-id"] in refused.json()["error"]["message"]
    found = [UUID(text.removeprefix("ref_")) for text in ids]

    def on_record() -> bool:
        rows = look(staged, "select sum(count) from tenants_refusal where id = any(%s)", found)
        told = """select sum((detail->>'count')::int) from audit_event
                  where detail->>'refusal' = any(%s)"""
        return rows == [(4,)] and look(staged, told, list(ids)) == [(4,)]

    eventually(on_record, 5)


def look(platform: Platform, query: str, *values: Any) -> list[Any]:
    with psycopg.connect(platform.running()["DATABASE_URL"], **settings.SEES_ALL) as database:
        return database.execute(query, values).fetchall()


def test_a_keys_limits_are_its_own(staged: Platform, mock: Mock) -> None:
    tenant = new_tenant(staged, "--requests-per-minute", "60", "--burst", "60")
    narrow = key_of(staged, tenant, "--requests-per-minute", "1", "--burst", "2")
    wide = key_of(staged, tenant)
    with client(staged, narrow) as asking, client(staged, wide) as other:
        answers = [ask(asking) for _ in range(4)]
        assert [answer.status_code for answer in answers] == [200, 200, 429, 429]
        assert answers[-1].headers["x-ratelimit-scope"] == "key_rate"
        assert ask(other).headers["x-ratelimit-scope"] == "rate"


def test_tokens_per_minute_are_corrected_by_what_was_used(staged: Platform, mock: Mock) -> None:
    mock.behave(tokens=3)
    key = new_key(staged, "--requests-per-minute", "0", "--tokens-per-minute", "1000")
    with client(staged, key) as asking:
        first = ask(asking, max_tokens=400)
        assert first.headers["x-ratelimit-limit-tokens"] == "1000"
        set_aside = 1000 - int(first.headers["x-ratelimit-remaining-tokens"])
        assert 400 <= set_aside <= 900
        time.sleep(0.3)
        second = ask(asking, max_tokens=400)
        assert second.status_code == 200  # the first gave back what it had not used
        used = first.json()["usage"]["total_tokens"]
        left = int(second.headers["x-ratelimit-remaining-tokens"])
        assert left == pytest.approx(1000 - used - set_aside, abs=15)  # 16 a second come back
        mock.behave(tokens=300, delay_ms=1000)
        with (
            client(staged, key) as other,
            other.stream("POST", "/v1/chat/completions", json=body(stream=True, max_tokens=400)),
        ):
            refused = ask(asking, max_tokens=400)
        assert (refused.status_code, refused.headers["x-ratelimit-scope"]) == (429, "tokens")


def test_requests_at_once_of_a_key(staged: Platform, mock: Mock) -> None:
    mock.behave(tokens=200, interval_ms=10)
    tenant = new_tenant(staged)
    narrow, wide = key_of(staged, tenant, "--max-concurrency", "1"), key_of(staged, tenant)
    with client(staged, narrow) as asking, client(staged, narrow) as other:
        with asking.stream("POST", "/v1/chat/completions", json=body(stream=True)):
            assert ask(other).headers["x-ratelimit-scope"] == "key_concurrency"
            with client(staged, wide) as third:
                assert ask(third).status_code == 200
        mock.behave(tokens=1)
        eventually(lambda: ask(other).status_code == 200, 3)
