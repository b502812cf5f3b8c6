"""A tenant's limits hold, and a refusal says when to come back."""

import json
import time
from contextlib import ExitStack
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from django.conf import settings

from tests.e2e.ask import eventually
from tests.e2e.conftest import Mock, Platform
from tests.e2e.front_ends import FRONT_ENDS
from tests.e2e.front_ends.base import Answer, FrontEnd

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


def test_the_bucket_holds_its_burst_and_no_more(
    staged: Platform, mock: Mock, front: FrontEnd
) -> None:
    key = new_key(staged, "--requests-per-minute", "1", "--burst", "3")
    with front.client(key) as asking:
        answers = [asking.chat(max_tokens=1) for _ in range(5)]
    assert [answer.status for answer in answers] == [200, 200, 200, 429, 429]
    refused = answers[-1]
    assert refused.code == "rate_limit_exceeded"
    assert 50 <= refused.retry_after_s <= 60
    assert refused.figures["x-ratelimit-scope"] == "rate"
    assert answers[0].figures["x-ratelimit-remaining-requests"] == "2"


def test_requests_at_once(staged: Platform, mock: Mock, front: FrontEnd) -> None:
    mock.behave(tokens=200, interval_ms=10)
    key = new_key(staged, "--max-concurrency", "1")
    with front.client(key) as asking, front.client(key) as other:
        with asking.chat_stream():
            refused = other.chat()
            assert (refused.status, refused.figures["x-ratelimit-scope"]) == (429, "concurrency")
        mock.behave(tokens=1)
        # The place is free again soon after the client has gone.
        assert eventually(lambda: other.chat().status == 200, 3)


def test_who_waits_as_long_as_told_gets_in(staged: Platform, mock: Mock, front: FrontEnd) -> None:
    key = new_key(staged, "--requests-per-minute", "30", "--burst", "2")
    with front.client(key) as asking:
        while (refused := asking.chat(max_tokens=1)).status == 200:
            pass
        assert 0 < refused.retry_after_s <= 2
        time.sleep(refused.retry_after_s + 0.02)
        assert asking.chat(max_tokens=1).status == 200
        assert asking.chat(max_tokens=1).status == 429


def test_a_refusal_can_be_looked_up(staged: Platform, mock: Mock, front: FrontEnd) -> None:
    key = new_key(staged, "--requests-per-minute", "1", "--burst", "1")
    with front.client(key) as asking:
        assert asking.chat(max_tokens=1).status == 200
        refusals = [asking.chat(max_tokens=1) for _ in range(4)]
    ids = {refused.refusal_id for refused in refusals}
    assert refusals[-1].figures["x-refusal-id"] in ids
    assert refusals[-1].refusal_id in refusals[-1].message
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


def test_a_keys_limits_are_its_own(staged: Platform, mock: Mock, front: FrontEnd) -> None:
    tenant = new_tenant(staged, "--requests-per-minute", "60", "--burst", "60")
    narrow = key_of(staged, tenant, "--requests-per-minute", "1", "--burst", "2")
    wide = key_of(staged, tenant)
    with front.client(narrow) as asking, front.client(wide) as other:
        answers = [asking.chat(max_tokens=1) for _ in range(4)]
        assert [answer.status for answer in answers] == [200, 200, 429, 429]
        assert answers[-1].figures["x-ratelimit-scope"] == "key_rate"
        assert other.chat(max_tokens=1).figures["x-ratelimit-scope"] == "rate"


def test_tokens_per_minute_are_corrected_by_what_was_used(
    staged: Platform, mock: Mock, front: FrontEnd
) -> None:
    mock.behave(tokens=3)
    key = new_key(staged, "--requests-per-minute", "0", "--tokens-per-minute", "1000")
    with front.client(key) as asking:
        first = asking.chat(max_tokens=400)
        assert first.figures["x-ratelimit-limit-tokens"] == "1000"
        set_aside = 1000 - int(first.figures["x-ratelimit-remaining-tokens"])
        assert 400 <= set_aside <= 900
        time.sleep(0.3)
        second = asking.chat(max_tokens=400)
        assert second.status == 200  # the first gave back what it had not used
        left = int(second.figures["x-ratelimit-remaining-tokens"])
        used = first.usage["total_tokens"]
        assert left == pytest.approx(1000 - used - set_aside, abs=15)  # 16 a second come back
        mock.behave(tokens=300, delay_ms=1000)
        with front.client(key) as other, other.chat_stream(max_tokens=400):
            refused = asking.chat(max_tokens=400)
        assert (refused.status, refused.figures["x-ratelimit-scope"]) == (429, "tokens")


def test_requests_at_once_of_a_key(staged: Platform, mock: Mock, front: FrontEnd) -> None:
    mock.behave(tokens=200, interval_ms=10)
    tenant = new_tenant(staged)
    narrow, wide = key_of(staged, tenant, "--max-concurrency", "1"), key_of(staged, tenant)
    with front.client(narrow) as asking, front.client(narrow) as other:
        with asking.chat_stream():
            refused = other.chat(max_tokens=1)
            assert refused.figures["x-ratelimit-scope"] == "key_concurrency"
            with front.client(wide) as third:
                assert third.chat(max_tokens=1).status == 200
        mock.behave(tokens=1)
        eventually(lambda: other.chat(max_tokens=1).status == 200, 3)


def test_all_front_ends_share_one_bucket(staged: Platform, mock: Mock) -> None:
    mock.behave(tokens=1)
    key = new_key(staged, "--requests-per-minute", "1", "--burst", "6")
    answers = list[Answer]()
    with ExitStack() as stack:
        fronts = [kind(staged) for kind in FRONT_ENDS.values()]
        clients = [stack.enter_context(front.client(key)) for front in fronts]
        answers += [client.chat(max_tokens=1) for _ in range(5) for client in clients]
    statuses = [answer.status for answer in answers]
    assert statuses == [200] * 6 + [429] * (len(answers) - 6)
