"""What a caller may ask for, over HTTP: scopes, addresses, models, open tenants, local-only."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from channels.db import database_sync_to_async
from pytest_django.fixtures import Settings

from audit.models import Event
from inference import engines
from inference.intake import submit as submitting
from inference.intake.access.allowed import NoSuchModel, NotAllowed, models_for
from inference.intake.context import Context
from inference.intake.submission import Submission
from inference.models import Completion
from tenants import model_access
from tenants.caller import Caller
from tenants.models import ApiKey, Team, Tenant, User
from tenants.roles import Role
from tests.inference.web import current, served, serving

in_database = database_sync_to_async
ASK = {"messages": [{"role": "user", "content": "hi"}], "max_tokens": 3}
NEAR, FAR = "198.51.100.7", "203.0.113.9"


@pytest.fixture
async def context(
    settings: Settings, dsn: str, pool: str, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Context]:
    plain = {"kind": "openai", "url": "http://127.0.0.1:9/v1"}
    settings.ENGINES = {pool: plain, "ours": plain, "theirs": {**plain, "hosted": True}}
    settings.DATABASE_URL, settings.ADDRESS_PER_MINUTE = dsn, 0
    engines.forget()
    async with serving() as opened:
        yield opened
    engines.forget()


class Client:
    def __init__(self, text: str, address: str = NEAR) -> None:
        self._transport = httpx.ASGITransport(served, client=(address, 5000))
        self._headers = {"Authorization": f"Bearer {text}"}

    async def ask(self, method: str, path: str, **body: Any) -> httpx.Response:
        async with httpx.AsyncClient(
            transport=self._transport, base_url="http://forebay", headers=self._headers
        ) as client:
            return await client.request(method, path, json=body or None)

    async def models(self) -> list[str]:
        answer = await self.ask("GET", "/v1/models")
        return [found["id"] for found in answer.json()["data"]]

    async def code(self, path: str = "/v1/chat/completions", **body: Any) -> tuple[int, str]:
        answer = await self.ask("POST", path, **{**ASK, **body})
        return answer.status_code, answer.json()["error"]["code"]


async def issued(tenant: Tenant, **settings: Any) -> str:
    return (await in_database(ApiKey.issue)(tenant, "ci", by="test", **settings))[1]


async def denied() -> list[tuple[str, int | None]]:
    await current().refusals.flush()
    found = Event.objects.filter(action="access:denied").order_by("id")
    return await in_database(lambda: [(e.error_code, e.status) for e in found])()


@pytest.mark.parametrize("scope", ["batch", "management:read", "management:write", "audit:read"])
async def test_completions_need_their_scope(context: Context, acme: Tenant, scope: str) -> None:
    client = Client(await issued(acme, scopes=[scope]))
    for path in ("/v1/chat/completions", "/v1/completions", "/v1/inference"):
        answer = await client.ask("POST", path, model="ours", prompt="x", **ASK)
        error = answer.json()["error"]
        assert (answer.status_code, error["code"]) == (403, "insufficient_scope")
        assert "`inference`" in error["message"]
    answer = await client.ask("GET", "/v1/completions/chatcmpl-1/events")
    assert answer.json()["error"]["code"] == "insufficient_scope"
    assert not await in_database(Completion.objects.exists)()
    assert ("insufficient_scope", 403) in await denied()


async def test_only_from_the_addresses_it_is_allowed(context: Context, acme: Tenant) -> None:
    text = await issued(acme, allowed_networks=["198.51.100.0/24"])
    assert await Client(text).models()
    for path in ("/v1/models", "/v1/models/ours"):
        answer = await Client(text, FAR).ask("GET", path)
        assert (answer.status_code, answer.json()["error"]["code"]) == (403, "address_not_allowed")
        assert FAR in answer.json()["error"]["message"]
    assert await Client(text, FAR).code(model="ours") == (403, "address_not_allowed")
    assert set(await denied()) == {("address_not_allowed", 403)}


async def test_a_model_that_is_not_allowed_is_as_one_that_does_not_exist(
    context: Context, acme: Tenant
) -> None:
    await in_database(model_access.restrict)(acme, "ours", by="test")
    client, listed = Client(await issued(acme)), await Client(await issued(acme)).models()
    assert "ours" not in listed
    assert "theirs" in listed
    narrow = Client(await issued(acme, allowed_models=["theirs"]))
    assert await narrow.models() == ["theirs"]
    for asking in (client, narrow):
        for path in ("/v1/chat/completions", "/v1/completions", "/v1/inference"):
            body = {**ASK, "prompt": "x"}
            hidden = await asking.ask("POST", path, **body, model="ours")
            unknown = await asking.ask("POST", path, **body, model="ores")
            assert hidden.status_code == unknown.status_code == 404
            assert hidden.text.replace("ours", "ores") == unknown.text
            assert set(hidden.headers) == set(unknown.headers)
        one = await asking.ask("GET", "/v1/models/ours")
        assert one.status_code == 404
    assert ("model_not_found", 404) in await denied()


async def test_a_granted_model_is_there(context: Context, acme: Tenant) -> None:
    def granted() -> str:
        restricted = model_access.restrict(acme, "ours", by="test")
        key, text = ApiKey.issue(acme, "ci", by="test")
        model_access.grant(restricted, key, by="test")
        return text

    client = Client(await in_database(granted)())
    assert "ours" in await client.models()
    assert (await client.ask("GET", "/v1/models/ours")).status_code == 200


async def test_a_local_only_tenant_has_no_hosted_models(context: Context) -> None:
    tenant = await in_database(Tenant.open)("local", by="test", local_only=True)
    client = Client(await issued(tenant))
    assert "theirs" not in await client.models()
    assert await client.code(model="theirs") == (503, "no_local_engine")
    assert (await client.ask("GET", "/v1/models/theirs")).status_code == 404
    named = Client(await issued(tenant, allowed_models=["theirs"]))
    assert await named.models() == []
    assert await named.code(model="theirs") == (503, "no_local_engine")
    assert await named.code(model="ours") == (404, "model_not_found")
    assert await named.code("/v1/inference", prompt="x") == (503, "no_local_engine")


async def test_a_local_only_key_has_no_hosted_models(context: Context, acme: Tenant) -> None:
    client = Client(await issued(acme, local_only=True))
    assert "theirs" not in await client.models()
    assert await client.code(model="theirs") == (503, "no_local_engine")
    assert "theirs" in await Client(await issued(acme)).models()


async def test_it_is_asked_where_requests_are_submitted_not_only_in_views(
    context: Context, acme: Tenant
) -> None:
    text = await issued(acme, allowed_models=["ours"], allowed_networks=["198.51.100.0/24"])
    caller = await context.authenticator.by_key(text)
    served = engines.served()

    async def submit(who: Caller, model: str, address: str) -> None:
        submission = Submission(
            caller=who,
            engine=served[model],
            body=b"{}",
            route="chat",
            chat=True,
            stream=True,
            estimate=1,
            client_ip=address,
        )
        await submitting.submit(context, submission)

    with pytest.raises(NoSuchModel):
        await submit(caller, "theirs", NEAR)
    with pytest.raises(NotAllowed, match="address"):
        await submit(caller, "ours", FAR)
    batch = await context.authenticator.by_key(await issued(acme, scopes=["batch"]))
    with pytest.raises(NotAllowed, match="scope"):
        await submit(batch, "ours", NEAR)
    assert not await in_database(Completion.objects.exists)()


@pytest.mark.parametrize("state", ["suspended", "closing"])
async def test_a_tenant_that_is_not_open(context: Context, acme: Tenant, state: str) -> None:
    client = Client(await issued(acme))
    assert await client.models()
    end = acme.suspend if state == "suspended" else acme.close
    await in_database(end)(by="test", reason="test")
    await asyncio.sleep(0.6)
    assert await client.code(model="ours") == (403, f"tenant_{state}")
    assert (await client.ask("GET", "/v1/models")).status_code == 403
    assert (f"tenant_{state}", 403) in await denied()


async def test_what_a_person_is_offered_to_chat_with(context: Context, acme: Tenant) -> None:
    def offered() -> tuple[list[str], list[str], list[str]]:
        restricted = model_access.restrict(acme, "ours", by="test")
        team = Team.form(acme, "research", by="test")
        model_access.grant(restricted, team, by="test")
        user = User.objects.create_user("dave@acme.example")
        dave = acme.add_member(user, Role.MEMBER, by="test")
        before = models_for(dave)
        team.add(dave, by="test")
        after = models_for(dave)
        acme.change(by="test", local_only=True)
        dave.tenant.refresh_from_db()
        return before, after, models_for(dave)

    before, after, local = await in_database(offered)()
    assert ("ours" in before, "theirs" in before) == (False, True)
    assert ("ours" in after, "theirs" in after) == (True, True)
    assert ("ours" in local, "theirs" in local) == (True, False)
