"""Web pages that ask with a tenant's key: only those that the tenant allows, off by default."""

import asyncio
from collections.abc import AsyncIterator
from threading import Event as Flag

import httpx
import pytest
from channels.db import database_sync_to_async
from pytest_django.fixtures import Settings

from audit.models import Event
from inference import engines
from inference.api.http import cors
from inference.intake.context import Context
from tenants.models import ApiKey, Tenant
from tests.inference.web import served, serving

in_database = database_sync_to_async
APP, OTHER, NOWHERE = "https://app.acme.example", "http://localhost:3000", "https://evil.example"
ASK_FIRST = {
    "Access-Control-Request-Method": "POST",
    "Access-Control-Request-Headers": "authorization, content-type, session_id, x-stainless-os",
}


@pytest.fixture
async def context(
    settings: Settings, dsn: str, pool: str, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Context]:
    settings.ENGINES = {pool: {"kind": "openai", "url": "http://127.0.0.1:9/v1"}}
    settings.DATABASE_URL, settings.ADDRESS_PER_MINUTE = dsn, 0
    monkeypatch.setattr(cors, "_of_tenants", cors.KnownOrigins(cors._tenants_origins))
    monkeypatch.setattr(cors, "CACHED_S", 0.0)
    engines.forget()
    async with serving() as opened:
        yield opened
    engines.forget()


@pytest.fixture
async def keys(context: Context, acme: Tenant) -> dict[str, str]:
    """acme allows APP, globex allows OTHER, initech none."""
    found = {}
    for name, origins in (("acme", [APP]), ("globex", [OTHER]), ("initech", [])):
        tenant = acme
        if name != "acme":
            tenant = await in_database(Tenant.open)(name, by="test")
        await in_database(tenant.change)(by="test", allowed_origins=origins)
        _, found[name] = await in_database(ApiKey.issue)(tenant, "page", by="test")
    return found


async def ask(method: str, origin: str, key: str = "", **headers: str) -> httpx.Response:
    transport = httpx.ASGITransport(served, client=("198.51.100.7", 5000))
    more = {"Authorization": f"Bearer {key}"} if key else {}
    async with httpx.AsyncClient(transport=transport, base_url="http://forebay") as client:
        sent = {"Origin": origin, **more, **headers} if origin else {**more, **headers}
        path = "/v1/chat/completions" if method == "OPTIONS" else "/v1/models"
        return await client.request(method, path, headers=sent)


async def test_a_browser_asks_first_and_needs_no_key(keys: dict[str, str]) -> None:
    for origin in (APP, OTHER):
        answer = await ask("OPTIONS", origin, **ASK_FIRST)
        assert answer.status_code == 204
        assert answer.headers["access-control-allow-origin"] == origin
        assert answer.headers["access-control-allow-methods"] == "POST, OPTIONS"
        allowed = answer.headers["access-control-allow-headers"]
        assert allowed == ASK_FIRST["Access-Control-Request-Headers"]
        assert "access-control-allow-credentials" not in answer.headers
        assert answer.headers["vary"] == "Origin"


@pytest.mark.parametrize("origin", [NOWHERE, "null", "https://app.acme.example.evil.example"])
async def test_a_page_that_nobody_allows(keys: dict[str, str], origin: str) -> None:
    answer = await ask("OPTIONS", origin, **ASK_FIRST)
    assert (answer.status_code, answer.json()["error"]["code"]) == (403, "origin_not_allowed")
    assert "access-control-allow-origin" not in answer.headers


async def test_the_tenants_own_page(keys: dict[str, str]) -> None:
    answer = await ask("GET", APP, keys["acme"])
    assert answer.status_code == 200
    assert answer.headers["access-control-allow-origin"] == APP
    assert answer.headers["access-control-expose-headers"] == "*"


@pytest.mark.parametrize(("origin", "tenant"), [(OTHER, "acme"), (APP, "globex"), (APP, "initech")])
async def test_a_page_that_only_another_tenant_allows(
    keys: dict[str, str], context: Context, origin: str, tenant: str
) -> None:
    """The browser was told that it may ask; the key's tenant says no, and has it on record."""
    answer = await ask("GET", origin, keys[tenant])
    assert (answer.status_code, answer.json()["error"]["code"]) == (403, "origin_not_allowed")
    assert "browser origins" in answer.json()["error"]["message"]
    await context.refusals.flush()
    event = await in_database(Event.objects.get)(action="access:denied")
    assert event.error_code == "origin_not_allowed"
    assert event.tenant_id == (await in_database(Tenant.objects.get)(name=tenant)).id


async def test_a_list_shuts_out_what_is_not_on_it(keys: dict[str, str], settings: Settings) -> None:
    assert (await ask("GET", NOWHERE, keys["acme"])).status_code == 403
    assert (await ask("GET", "", keys["acme"])).status_code == 200
    own = sorted(settings.OWN_ORIGINS)[0]
    assert (await ask("GET", own, keys["acme"])).status_code == 200


async def test_off_by_default(keys: dict[str, str]) -> None:
    """Programs that send an Origin are answered as ever; no page can read it."""
    answer = await ask("GET", NOWHERE, keys["initech"])
    assert answer.status_code == 200
    assert "access-control-allow-origin" not in answer.headers


async def test_a_page_may_read_why_it_was_refused(keys: dict[str, str]) -> None:
    answer = await ask("GET", APP, "sk-fb-wrong")
    assert answer.status_code == 401
    assert answer.headers["access-control-allow-origin"] == APP


async def test_of_a_suspended_tenant_nothing_counts(keys: dict[str, str], acme: Tenant) -> None:
    await in_database(acme.suspend)(by="test", reason="x")
    assert (await ask("OPTIONS", APP, **ASK_FIRST)).status_code == 403


async def test_what_is_taken_off_the_list_is_shut_out(keys: dict[str, str], acme: Tenant) -> None:
    assert (await ask("GET", APP, keys["acme"])).status_code == 200
    await in_database(acme.change)(by="test", allowed_origins=[OTHER])
    for _ in range(100):
        if (answer := await ask("GET", APP, keys["acme"])).status_code == 403:
            break
    assert answer.status_code == 403
    assert (await ask("OPTIONS", APP, **ASK_FIRST)).status_code == 403


async def test_header_names_are_told_back_only_where_they_are_names(keys: dict[str, str]) -> None:
    odd = {**ASK_FIRST, "Access-Control-Request-Headers": "a;b\tc"}
    answer = await ask("OPTIONS", APP, **odd)
    assert "authorization" in answer.headers["access-control-allow-headers"]
    assert ";" not in answer.headers["access-control-allow-headers"]


async def test_a_database_that_hangs_leaves_the_last_origins(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    hangs, lookups = Flag(), 0

    def look_up() -> frozenset[str]:
        nonlocal lookups
        lookups += 1
        if lookups > 1:
            hangs.wait(30)
        return frozenset({APP})

    monkeypatch.setattr(cors, "CACHED_S", 0.0)
    origins = cors.KnownOrigins(look_up)
    assert await origins.now() == {APP}
    monkeypatch.setattr(cors, "PATIENCE_S", 0.05)
    try:
        async with asyncio.timeout(20):
            for _ in range(3):
                assert await origins.now() == {APP}
    finally:
        hangs.set()
    assert lookups == 2  # threads of requests are few
