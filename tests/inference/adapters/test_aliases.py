"""Requests that name an alias: the model behind it answers, and its rules and prices hold."""

from types import SimpleNamespace
from typing import Any

import httpx
import psycopg
import pytest
from channels.db import database_sync_to_async

from audit.models import Event
from inference.api.call import Call
from inference.api.grpc import methods
from inference.api.grpc.stubs.forebay.v1 import inference_pb2 as pb
from inference.engines import aliases
from inference.engines.kinds.vllm import served_name
from inference.intake.access.allowed import models_for
from inference.intake.context import Context
from inference.models import ModelAlias, Usage
from inference.registry import following
from tenants import model_access
from tenants.models import ApiKey, Price, Quota, Tenant, User
from tenants.roles import Role
from tests.inference.adapters.conftest import BASE, Vllm, client_of
from tests.inference.adapters.rows import a_version, an_adapter, put_in_force, serve
from tests.inference.adapters.test_requests import ask, asked_in_the_chat, said

in_database = database_sync_to_async
SONNET = "claude-sonnet-4-5"


def in_force(dsn: str) -> None:
    """Bring changed rows into force, as each process does."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        following.load_aliases(connection)


def an_alias(tenant: Tenant, dsn: str, name: str = SONNET, model: str = BASE) -> ModelAlias:
    alias = ModelAlias.create(tenant, name, model, by="test")
    in_force(dsn)
    return alias


@pytest.fixture
async def alias(context: Context, acme: Tenant, dsn: str) -> Any:
    """An alias of acme for the model."""
    yield await in_database(an_alias)(acme, dsn)
    aliases.put_in_force([])


async def test_the_model_answers_and_usage_and_price_are_its_own(
    alias: ModelAlias, client: httpx.AsyncClient
) -> None:
    await in_database(Price.set)(BASE, 1_000_000, 1_000_000, 1_000_000, by="test")
    answer = await ask(client, SONNET)
    assert answer.status_code == 200
    assert answer.json()["model"] == BASE
    usage = await in_database(Usage.objects.get)(completion=answer.headers["x-request-id"])
    assert usage.model == BASE
    assert usage.cost > 0
    event = await in_database(Event.objects.get)(action="completion:completed")
    assert event.model == BASE


async def test_streams_completions_and_messages_take_it(
    alias: ModelAlias, client: httpx.AsyncClient, vllm: Vllm
) -> None:
    streamed = await ask(client, SONNET, stream=True)
    assert f'"model":"{BASE}"' in streamed.text
    plain = await client.post("/v1/completions", json={"model": SONNET, "prompt": "hi"})
    assert plain.json()["choices"][0]["text"] == BASE
    body = {"model": SONNET, "max_tokens": 3, "messages": [{"role": "user", "content": "hi"}]}
    message = (await client.post("/v1/messages", json=body)).json()
    assert (message["model"], message["content"][0]["text"]) == (BASE, BASE)


async def test_lists_have_it_as_an_entry_of_its_own(
    alias: ModelAlias, client: httpx.AsyncClient
) -> None:
    base, own = (await client.get("/v1/models")).json()["data"]
    assert (own["id"], own["alias_of"]) == (SONNET, BASE)
    assert own["context_length"] == base["context_length"]
    assert (await client.get(f"/v1/models/{SONNET}")).json() == own
    anthropic = {"anthropic-version": "2023-06-01"}
    listed = (await client.get("/v1/models", headers=anthropic)).json()["data"]
    assert [each["id"] for each in listed] == [BASE, SONNET]
    one = (await client.get(f"/v1/models/{SONNET}", headers=anthropic)).json()
    assert (one["id"], one["max_input_tokens"]) == (SONNET, own["context_length"])


async def test_grpc_lists_and_takes_it(alias: ModelAlias, context: Context, acme: Tenant) -> None:
    _, text = await in_database(ApiKey.issue)(acme, "ci", by="test")
    caller = await context.authenticator.by_key(text)
    call = Call(context, "/forebay.v1.InferenceService/Chat", "198.51.100.7", "grpc")
    rpc: Any = SimpleNamespace(call=call, header=lambda name: None, time_left_s=30.0)
    listed = await methods.list_models(rpc, caller, pb.ListModelsRequest())
    assert [model.id for model in listed.models] == [BASE, SONNET]
    request = pb.ChatRequest(model=SONNET, messages=[pb.ChatMessage(role="user", content="hi")])
    submission = await methods.chat(rpc, caller, request, streamed=False)
    assert submission.engine.config.name == BASE


async def test_an_adapter_may_be_behind_it(
    context: Context, client: httpx.AsyncClient, acme: Tenant, dsn: str
) -> None:
    def prepare() -> Any:
        version = a_version(acme)
        serve(an_adapter(acme, BASE), version)
        put_in_force(dsn)
        an_alias(acme, dsn, model=f"{BASE}:support")
        return version

    version = await in_database(prepare)()
    assert await said(client, SONNET) == served_name(version.pk)
    listed = (await client.get("/v1/models")).json()["data"]
    assert [each["id"] for each in listed] == [BASE, f"{BASE}:support", SONNET]
    assert listed[2]["parent"] == BASE
    aliases.put_in_force([])


async def test_it_is_of_its_tenant_alone(
    alias: ModelAlias, client: httpx.AsyncClient, dsn: str
) -> None:
    globex = await in_database(Tenant.open)("globex", by="test")
    async with await client_of(globex) as stranger:
        assert (await ask(stranger, SONNET)).status_code == 404
        assert (await stranger.get(f"/v1/models/{SONNET}")).status_code == 404
        listed = (await stranger.get("/v1/models")).json()["data"]
    assert [each["id"] for each in listed] == [BASE]


async def test_without_its_model_it_is_a_404_that_names_that(
    context: Context, client: httpx.AsyncClient, acme: Tenant, dsn: str
) -> None:
    await in_database(an_alias)(acme, dsn, model="gone")
    for answer in (await ask(client, SONNET), await client.get(f"/v1/models/{SONNET}")):
        error = answer.json()["error"]
        assert (answer.status_code, error["code"]) == (404, "model_not_found")
        assert f"`{SONNET}` is an alias of the model `gone`, which is not" in error["message"]
    assert len((await client.get("/v1/models")).json()["data"]) == 1
    aliases.put_in_force([])


async def test_an_alias_of_an_alias_is_followed_once_and_no_further(
    alias: ModelAlias, client: httpx.AsyncClient, acme: Tenant, dsn: str
) -> None:
    await in_database(an_alias)(acme, dsn, name="opus", model=SONNET)
    assert (await ask(client, "opus")).status_code == 404


async def test_a_served_name_goes_before_an_alias_of_it(
    context: Context, client: httpx.AsyncClient, acme: Tenant, dsn: str
) -> None:
    """An operator adds a model later on: nothing may answer in its name but itself."""
    await in_database(an_alias)(acme, dsn, name=BASE, model="another")
    assert await said(client, BASE) == BASE
    assert [each["id"] for each in (await client.get("/v1/models")).json()["data"]] == [BASE]
    aliases.put_in_force([])


async def test_rules_and_quotas_of_the_model_hold(
    alias: ModelAlias, client: httpx.AsyncClient, acme: Tenant
) -> None:
    await in_database(Quota.set)(acme, unit="requests", window="day", limit=2, model=BASE, by="t")
    statuses = [(await ask(client, model)).status_code for model in (SONNET, BASE, SONNET)]
    assert statuses == [200, 200, 429]
    async with await client_of(acme, allowed_models=["another"]) as another:
        hidden = await ask(another, SONNET)
        assert hidden.status_code == 404
        assert "does not exist" in hidden.json()["error"]["message"]
        assert (await another.get("/v1/models")).json()["data"] == []
    await in_database(model_access.restrict)(acme, BASE, by="test")
    async with await client_of(acme) as fresh:
        assert (await ask(fresh, SONNET)).status_code == 404


async def test_a_kept_answer_of_the_model_is_one_of_its_alias(
    alias: ModelAlias, client: httpx.AsyncClient
) -> None:
    cached: dict[str, Any] = {"temperature": 0, "headers": {"x-forebay-cache": "use"}}
    assert (await ask(client, BASE, **cached)).headers["x-forebay-cache"] == "miss"
    assert (await ask(client, SONNET, **cached)).headers["x-forebay-cache"] == "hit"


async def test_a_change_and_a_removal_hold_for_the_next_request(
    alias: ModelAlias, client: httpx.AsyncClient, dsn: str
) -> None:
    await in_database(alias.change)("gone", by="test")
    await in_database(in_force)(dsn)
    assert "`gone`" in (await ask(client, SONNET)).json()["error"]["message"]
    await in_database(alias.remove)(by="test")
    await in_database(in_force)(dsn)
    assert "does not exist" in (await ask(client, SONNET)).json()["error"]["message"]


async def test_the_chat_offers_it_to_its_tenant_and_takes_it(
    alias: ModelAlias, context: Context, acme: Tenant
) -> None:
    def offered() -> tuple[list[str], list[str]]:
        globex = Tenant.open("globex", by="test")
        alice, charlie = (
            User.objects.create_user(f"{name}@example.com", "a long enough password")
            for name in ("alice", "charlie")
        )
        own = acme.add_member(alice, Role.MEMBER, by="test")
        other = globex.add_member(charlie, Role.MEMBER, by="test")
        return models_for(own), models_for(other)

    assert await in_database(offered)() == ([BASE, SONNET], [BASE])
    completion = await asked_in_the_chat(context, acme, SONNET)
    assert completion.model == BASE
