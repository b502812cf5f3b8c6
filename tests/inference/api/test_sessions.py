"""Requests that name their session: usage by it, its quota, its erasure; and those without."""

from collections.abc import Iterable
from typing import Any
from uuid import UUID

import httpx
import pytest
from channels.db import database_sync_to_async
from pytest_django.fixtures import Settings

from inference.intake import sessions as sessions_of_requests
from inference.models import Usage
from inference.personal_data import erasure
from inference.usage import sessions
from tenants.models import ApiKey, LedgerEntry, Price, Quota, QuotaCounter, Tenant
from tests.inference.api.conftest import client_of

in_database = database_sync_to_async
NAME = "8a1f3c52-6a0e-4b8f-9d1c-0c7f5b1e2d3a"
HI = [{"role": "user", "content": "hi"}]


async def ask(client: httpx.AsyncClient, name: str | None = NAME, **fields: Any) -> httpx.Response:
    body = {"model": "small", "messages": HI, "max_tokens": 3, **fields}
    headers = {"x-session-id": name} if name else {}
    return await client.post("/v1/chat/completions", json=body, headers=headers)


@database_sync_to_async
def rows(queryset: Iterable[Any]) -> list[Any]:
    return list(queryset)


async def quota(acme: Tenant, limit: int, unit: str = "requests") -> Quota:
    wanted: dict[str, Any] = {"unit": unit, "window": "session", "limit": limit, "by": "test"}
    return await in_database(lambda: Quota.set(acme, **wanted))()


async def test_usage_and_the_answer_have_the_session_and_nothing_has_its_name(
    client: httpx.AsyncClient, acme: Tenant
) -> None:
    await in_database(Price.set)("small", 1_000_000, 1_000_000, 1_000_000, by="test")
    first, second, none = await ask(client), await ask(client), await ask(client, None)
    session = first.headers["x-forebay-session"]
    assert second.headers["x-forebay-session"] == session != NAME
    assert "x-forebay-session" not in none.headers
    (line,) = await in_database(sessions.top)(acme, "24h")
    assert (str(line.session), line.requests, line.models) == (session, 2, ["small"])
    usages = await rows(Usage.objects.filter(session=session))
    assert line.cost == sum(row.cost for row in usages) > 0
    assert line.completion_tokens == sum(row.completion_tokens for row in usages)
    (key,) = await rows(ApiKey.objects.all())
    assert line.actors == [key.actor]
    entries = LedgerEntry.objects.filter(session=session)
    assert await in_database(entries.count)() == 4


async def test_streams_and_messages_have_it_too(client: httpx.AsyncClient) -> None:
    streamed = await ask(client, stream=True)
    body = {
        "model": "small",
        "max_tokens": 3,
        "messages": HI,
        "metadata": {"user_id": f"user_0f_account__session_{NAME}"},
    }
    message = await client.post("/v1/messages", json=body)
    assert message.status_code == 200, message.text
    assert message.headers["x-forebay-session"] == streamed.headers["x-forebay-session"]


async def test_a_field_of_a_response_names_it_where_the_operator_says_so(
    client: httpx.AsyncClient, settings: Settings
) -> None:
    settings.SESSION_FIELDS = (sessions_of_requests.CACHE_KEY,)
    body = {"model": "small", "input": "hi", "prompt_cache_key": NAME}
    response = await client.post("/v1/responses", json=body)
    assert response.status_code == 200, response.text
    chat = await ask(client, None, prompt_cache_key=NAME)
    assert response.headers["x-forebay-session"] == chat.headers["x-forebay-session"]


async def test_over_its_quota_the_refusal_is_the_sessions_and_another_goes_on(
    client: httpx.AsyncClient, acme: Tenant
) -> None:
    await quota(acme, 2)
    statuses = [(await ask(client, name)).status_code for name in (NAME, NAME, NAME, "b", None)]
    assert statuses == [200, 200, 429, 200, 200]
    refused = await ask(client)
    error = refused.json()["error"]
    assert error["code"] == "insufficient_quota"
    assert "the quota of 2 requests per session" in error["message"]
    assert "begin a new session" in error["message"]
    assert refused.headers["x-should-retry"] == "false"
    assert "retry-after" not in refused.headers


async def test_an_answer_says_what_its_session_has_left(
    client: httpx.AsyncClient, acme: Tenant
) -> None:
    await quota(acme, 5)
    await ask(client)
    answer = await ask(client)
    assert answer.headers["x-quota-remaining-requests"] == "3"
    assert "x-quota-reset-requests" not in answer.headers


@pytest.mark.parametrize("unit", ["tokens", "cost"])
async def test_budgets_of_tokens_and_cost_set_aside_and_settle_by_session(
    client: httpx.AsyncClient, acme: Tenant, unit: str
) -> None:
    await in_database(Price.set)("small", 1_000_000, 1_000_000, 1_000_000, by="test")
    ours = await quota(acme, 10**12, unit)
    answer = await ask(client)
    counter = await in_database(QuotaCounter.objects.get)(quota=ours)
    usage = await in_database(Usage.objects.get)(completion=answer.headers["x-request-id"])
    taken = usage.prompt_tokens + usage.completion_tokens if unit == "tokens" else usage.cost
    assert (counter.used, counter.reserved) == (taken, 0)
    await in_database(ours.change)(taken, by="test")
    assert (await ask(client)).status_code == 429
    assert (await ask(client, "another")).status_code == 429  # larger than the whole quota


async def test_another_tenant_has_sessions_of_its_own(
    client: httpx.AsyncClient, acme: Tenant
) -> None:
    globex = await in_database(Tenant.open)("globex", by="test")
    async with await client_of(globex) as stranger:
        theirs = await ask(stranger)
    ours = await ask(client)
    assert theirs.headers["x-forebay-session"] != ours.headers["x-forebay-session"]
    (line,) = await in_database(sessions.top)(acme, "24h")
    assert line.session == UUID(ours.headers["x-forebay-session"])


async def test_a_name_that_is_none_is_a_400(client: httpx.AsyncClient) -> None:
    refused = await ask(client, "x" * 257)
    assert (refused.status_code, refused.json()["error"]["param"]) == (400, "x-session-id")


async def test_the_erasure_of_a_person_takes_it_out_of_usage(
    client: httpx.AsyncClient, acme: Tenant
) -> None:
    await ask(client)
    (key,) = await rows(ApiKey.objects.all())
    subject = acme.pk, key.subject_id
    assert await in_database(erasure._sessions_left)(*subject) == 1
    assert await in_database(erasure._erase_sessions)(*subject) == {"sessions": 1}
    assert await in_database(erasure._sessions_left)(*subject) == 0
    assert await in_database(sessions.top)(acme, "24h") == []
