"""In front of the authenticator: whoever tries keys is refused before anybody looks them up."""

from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import orjson
import pytest
from channels.db import database_sync_to_async
from pytest_django.fixtures import Settings

from audit.models import Event
from inference import engines
from inference.intake.context import Context
from tenants import secret_keys
from tenants.models import ApiKey, Tenant
from tenants.models.refusal import Refusal
from tenants.rate_limits.admission import Ask
from tests.inference.web import served, serving

in_database = database_sync_to_async
Answer = tuple[int, dict[bytes, bytes], dict[str, Any]]


@pytest.fixture
async def context(
    settings: Settings, dsn: str, pool: str, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Context]:
    settings.ENGINES = {pool: {"kind": "openai", "url": "http://127.0.0.1:9/v1"}}
    settings.DATABASE_URL = dsn
    settings.ADDRESS_PER_MINUTE = 5
    engines.forget()
    async with serving(Context()) as opened:
        yield opened
    engines.forget()


@pytest.fixture
def ip() -> str:
    n = uuid4().int
    return f"198.{18 + n % 2}.{n // 2 % 256}.{n // 512 % 256}"


@pytest.fixture
def looks(context: Context, monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """What the database was asked."""
    asked, fetch = list[object](), context.authenticator._fetch

    async def counted(query: str, credential: Any) -> Any:
        asked.append(credential)
        return await fetch(query, credential)

    monkeypatch.setattr(context.authenticator, "_fetch", counted)
    return asked


async def get_models(ip: str, key: str | None) -> Answer:
    return await ask(ip, key, "GET", "/v1/models")


async def ask(ip: str, key: str | None, method: str, path: str, body: bytes = b"") -> Answer:
    headers = [(b"authorization", f"Bearer {key}".encode())] if key is not None else []
    scope = {
        "method": method,
        "path": path,
        "query_string": b"",
        "headers": headers,
        "client": (ip, 1),
    }
    sent: list[Any] = []

    async def receive() -> Any:
        return {"type": "http.request", "body": body}

    async def send(message: Any) -> None:
        sent.append(message)

    await served(scope, receive, send)
    return sent[0]["status"], dict(sent[0]["headers"]), orjson.loads(sent[1]["body"])


async def post_rubbish(ip: str, key: str) -> Answer:
    return await ask(ip, key, "POST", "/v1/chat/completions", b"{rubbish")


async def test_unknown_keys_count_and_are_soon_not_looked_up(
    context: Context, ip: str, looks: list[object]
) -> None:
    answers = [await get_models(ip, secret_keys.mint().text) for _ in range(9)]
    assert [status for status, _, _ in answers] == [401] * 5 + [429] * 4
    assert len(looks) == 5
    _, headers, body = answers[-1]
    assert headers[b"x-ratelimit-scope"] == b"ip"
    assert body["error"]["refusal_id"] == headers[b"x-refusal-id"].decode()
    assert 55 <= int(headers[b"retry-after"]) <= 60


@pytest.mark.parametrize("key", [None, "", "rubbish", "sk-fb-abc-def-000000"])
async def test_so_do_keys_that_cannot_be_any(
    context: Context, ip: str, key: str | None, looks: list[object]
) -> None:
    answers = [(await get_models(ip, key))[0] for _ in range(7)]
    assert answers == [401] * 5 + [429] * 2
    assert looks == []


async def test_what_no_admission_follows_is_charged_too(
    context: Context, ip: str, acme: Tenant
) -> None:
    _, key = await in_database(ApiKey.issue)(acme, "ci", by="test")
    answers = [(await get_models(ip, key))[0] for _ in range(8)]
    assert answers == [200] * 5 + [429] * 3


async def test_a_bad_body_is_charged_too(context: Context, ip: str, acme: Tenant) -> None:
    _, key = await in_database(ApiKey.issue)(acme, "ci", by="test")
    answers = [(await post_rubbish(ip, key))[0] for _ in range(8)]
    assert answers == [400] * 5 + [429] * 3


@pytest.mark.parametrize("of", ["tenant", "key"])
async def test_a_bad_body_counts_for_its_tenant_and_its_key(
    context: Context, acme: Tenant, of: str, settings: Settings
) -> None:
    settings.ADDRESS_PER_MINUTE = 0
    limits = {"requests_per_minute": 3, "burst": 3, "max_concurrency": 1}
    issued, key = await in_database(ApiKey.issue)(acme, "ci", by="test")
    await in_database((acme if of == "tenant" else issued).change)(by="test", **limits)
    bad = [await post_rubbish(f"198.18.7.{n}", key) for n in range(5)]
    assert [status for status, _, _ in bad] == [400] * 3 + [429] * 2
    assert bad[-1][1][b"x-ratelimit-scope"] == (b"rate" if of == "tenant" else b"key_rate")
    await context.refusals.flush()
    row = await in_database(Refusal.objects.get)()
    assert (row.tenant_id, row.actor, row.count) == (acme.id, issued.actor, 2)


async def test_a_bad_body_leaves_the_bucket_of_tokens_as_it_is(
    context: Context, acme: Tenant, settings: Settings
) -> None:
    settings.ADDRESS_PER_MINUTE = 0
    _, key = await in_database(ApiKey.issue)(acme, "ci", by="test")
    await in_database(acme.change)(by="test", requests_per_minute=90, tokens_per_minute=1000)
    caller = await context.authenticator.by_key(key)
    await context.limits.rate.admit(Ask.of(caller, "a", tokens=900))
    assert (await post_rubbish("198.18.7.1", key))[0] == 400
    admission, _ = await context.limits.rate.admit(Ask.of(caller, "b", tokens=900))
    assert admission.tier == "tokens"


async def test_an_address_over_its_limit_is_refused_whatever_its_key(
    context: Context, ip: str, acme: Tenant, looks: list[object]
) -> None:
    issued, key = await in_database(ApiKey.issue)(acme, "ci", by="test")
    assert (await get_models(ip, key))[0] == 200
    for _ in range(9):
        await get_models(ip, "rubbish")
    before = len(looks)
    status, _, body = await get_models(ip, key)
    assert (status, len(looks)) == (429, before)
    await context.refusals.flush()
    row = await in_database(Refusal.objects.get)()  # its tenant is told
    assert (row.tenant_id, row.actor, row.tier) == (acme.id, issued.actor, "ip")
    assert row.public_id == body["error"]["refusal_id"]


async def test_denials_are_on_record(context: Context, ip: str) -> None:
    for _ in range(4):
        await get_models(ip, "rubbish")
    await context.refusals.flush()
    event = await in_database(Event.objects.get)(action="access:denied")
    assert (event.detail, event.status, event.error_code) == ({"count": 4}, 401, "invalid_api_key")
    assert str(event.client_net) == f"{ip.rpartition('.')[0]}.0"


async def test_without_a_limit_nobody_is_counted(
    context: Context, ip: str, settings: Settings
) -> None:
    settings.ADDRESS_PER_MINUTE = 0
    assert {(await get_models(ip, "rubbish"))[0] for _ in range(20)} == {401}
