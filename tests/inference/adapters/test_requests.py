"""Requests that name an adapter: their answers, their record, and the rules of their base."""

import re
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import httpx
import pytest
from channels.db import database_sync_to_async

from audit.models import Event
from inference.api.call import Call
from inference.api.grpc import methods
from inference.api.grpc.stubs.forebay.v1 import inference_pb2 as pb
from inference.chat.protocol import Send
from inference.chat.socket import sending
from inference.engines import adapters
from inference.engines.kinds.vllm import served_name
from inference.intake.access.allowed import models_for
from inference.intake.context import Context
from inference.models import Completion, ModelVersion, Usage
from tenants import model_access
from tenants.models import ApiKey, Member, Quota, Tenant, User
from tenants.roles import Role
from tests.inference.adapters.conftest import BASE, Vllm, client_of
from tests.inference.adapters.rows import a_version, an_adapter, put_in_force, serve
from tests.inference.web import current

in_database = database_sync_to_async
SUPPORT = f"{BASE}:support"
ASK: dict[str, Any] = {"messages": [{"role": "user", "content": "hi"}], "max_tokens": 3}


async def ask(client: httpx.AsyncClient, model: str, **fields: Any) -> httpx.Response:
    headers = fields.pop("headers", None)
    body = {**ASK, "model": model, **fields}
    return await client.post("/v1/chat/completions", json=body, headers=headers)


async def said(client: httpx.AsyncClient, model: str, **fields: Any) -> str:
    answer = await ask(client, model, **fields)
    assert answer.status_code == 200, answer.text
    return str(answer.json()["choices"][0]["message"]["content"])


@pytest.fixture
async def version(context: Context, acme: Tenant, dsn: str) -> ModelVersion:
    """The version that serves as acme's `small:support`."""
    return await in_database(_serve)(acme, dsn)


def _serve(tenant: Tenant, dsn: str, number: int = 1) -> ModelVersion:
    version = a_version(tenant, number)
    own = tenant.adapters.live().first() or an_adapter(tenant, BASE)
    serve(own, version)
    put_in_force(dsn)
    return version


async def test_its_version_answers_and_the_record_and_the_usage_say_so(
    version: ModelVersion, client: httpx.AsyncClient
) -> None:
    answer = await ask(client, SUPPORT)
    whole = answer.json()
    assert whole["choices"][0]["message"]["content"] == served_name(version.pk)
    assert whole["model"] == SUPPORT
    pk = answer.headers["x-request-id"]
    usage = await in_database(Usage.objects.get)(completion=pk)
    completion = await in_database(Completion.objects.get)(pk=pk)
    for row in (usage, completion):
        assert (row.model, row.adapter, row.adapter_version) == (BASE, "support", "tuned@1")
    rows = Event.objects.filter(request_id=pk, action="completion:completed")
    event = await in_database(rows.get)()
    assert (event.model, event.detail["adapter"]) == (BASE, "support")
    assert event.detail["adapter_version"] == "tuned@1"


async def test_streams_and_completions_get_it_too_and_the_base_stays_as_it_was(
    version: ModelVersion, client: httpx.AsyncClient, vllm: Vllm
) -> None:
    streamed = await ask(client, SUPPORT, stream=True)
    assert served_name(version.pk) in streamed.text
    assert f'"model":"{SUPPORT}"' in streamed.text
    body = {"model": SUPPORT, "prompt": "hi", "max_tokens": 3}
    text = (await client.post("/v1/completions", json=body)).json()["choices"][0]["text"]
    assert text == served_name(version.pk)
    assert await said(client, BASE) == BASE
    plain = await in_database(Usage.objects.get)(adapter="")
    assert plain.adapter_version == ""


async def test_the_name_of_anothers_is_as_any_name_that_does_not_exist(
    version: ModelVersion, client: httpx.AsyncClient, acme: Tenant
) -> None:
    globex = await in_database(Tenant.open)("globex", by="test")
    async with await client_of(globex) as stranger:
        nothing = await ask(stranger, f"{BASE}:nothing")
        anothers = await ask(stranger, SUPPORT)
        shown = await stranger.get(f"/v1/models/{SUPPORT}")
        unknown = await stranger.get(f"/v1/models/{BASE}:nothing")
        listed = (await stranger.get("/v1/models")).json()["data"]
    assert nothing.status_code == 404
    assert alike(anothers) == alike(nothing)
    assert alike(shown) == alike(unknown)
    assert [each["id"] for each in listed] == [BASE]
    await current().refusals.flush()
    assert not await in_database(Event.objects.filter(action="access:denied").exists)()


def alike(answer: httpx.Response) -> tuple[int, str, dict[str, str]]:
    """An answer without what differs from request to request."""
    text = answer.text.replace(SUPPORT, "NAME").replace(f"{BASE}:nothing", "NAME")
    changing = re.compile("x-request-id|content-length|x-ratelimit-(remaining|reset).*|date")
    kept = {name: it for name, it in answer.headers.items() if not changing.fullmatch(name)}
    return answer.status_code, re.sub(r'"request_id":"[^"]*"', "", text), kept


async def test_lists_have_it_with_its_base(
    version: ModelVersion, client: httpx.AsyncClient
) -> None:
    base, own = (await client.get("/v1/models")).json()["data"]
    assert (base["id"], own["id"]) == (BASE, SUPPORT)
    assert (own["parent"], own["version"]) == (BASE, "tuned@1")
    assert own["context_length"] == base["context_length"]
    assert (await client.get(f"/v1/models/{SUPPORT}")).json() == own


async def test_grpc_lists_and_takes_it(
    version: ModelVersion, context: Context, acme: Tenant
) -> None:
    _, text = await in_database(ApiKey.issue)(acme, "ci", by="test")
    caller = await context.authenticator.by_key(text)
    call = Call(context, "/forebay.v1.InferenceService/Chat", "198.51.100.7", "grpc")
    rpc: Any = SimpleNamespace(call=call, header=lambda name: None, time_left_s=30.0)
    listed = await methods.list_models(rpc, caller, pb.ListModelsRequest())
    assert [model.id for model in listed.models] == [BASE, SUPPORT]
    request = pb.ChatRequest(model=SUPPORT, messages=[pb.ChatMessage(role="user", content="hi")])
    submission = await methods.chat(rpc, caller, request, streamed=False)
    assert submission.engine.config.name == BASE
    assert submission.adapter
    assert submission.adapter.version == version.pk


async def test_a_quota_of_the_base_counts_requests_of_its_adapters(
    version: ModelVersion, client: httpx.AsyncClient, acme: Tenant
) -> None:
    await in_database(Quota.set)(acme, unit="requests", window="day", limit=2, model=BASE, by="t")
    statuses = [(await ask(client, model)).status_code for model in (SUPPORT, BASE, SUPPORT, BASE)]
    assert statuses == [200, 200, 429, 429]


async def test_rules_on_models_of_a_key_and_a_tenant_hold_by_the_base(
    version: ModelVersion, client: httpx.AsyncClient, acme: Tenant
) -> None:
    async with await client_of(acme, allowed_models=[BASE]) as allowed:
        assert await said(allowed, SUPPORT) == served_name(version.pk)
    async with await client_of(acme, allowed_models=["another"]) as another:
        assert (await ask(another, SUPPORT)).status_code == 404
        assert (await another.get("/v1/models")).json()["data"] == []
    await in_database(model_access.restrict)(acme, BASE, by="test")
    async with await client_of(acme) as fresh:
        assert (await ask(fresh, SUPPORT)).status_code == 404


async def test_kept_answers_are_of_one_version_alone(
    version: ModelVersion, client: httpx.AsyncClient, acme: Tenant, dsn: str, vllm: Vllm
) -> None:
    kept = {"temperature": 0, "headers": {"x-forebay-cache": "use"}}
    assert await said(client, BASE, **kept) == BASE
    for _ in range(2):
        assert await said(client, SUPPORT, **kept) == served_name(version.pk)
    repeated = await ask(client, SUPPORT, **kept)
    assert repeated.headers["x-forebay-cache"] == "hit"
    assert repeated.json()["model"] == SUPPORT
    newer = await in_database(_serve)(acme, dsn, 2)
    assert await said(client, SUPPORT, **kept) == served_name(newer.pk)
    assert await said(client, BASE, **kept) == BASE


async def test_a_deleted_version_is_served_no_longer(
    version: ModelVersion, client: httpx.AsyncClient, dsn: str
) -> None:
    assert await said(client, SUPPORT) == served_name(version.pk)
    await in_database(version.delete_files)(by="test")
    await in_database(put_in_force)(dsn)
    assert (await ask(client, SUPPORT)).status_code == 404
    assert adapters.has_ended(version.pk)


async def test_one_that_waits_while_its_version_is_deleted_gets_no_answer(
    version: ModelVersion, client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(adapters, "has_ended", {version.pk}.__contains__)
    answer = await ask(client, SUPPORT)
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "model_not_found")


async def test_without_an_engine_that_has_it_the_client_hears_to_try_again(
    version: ModelVersion, client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("inference.engines.kinds.vllm.VllmEngine.serves_adapter", lambda *_: False)
    answer = await ask(client, SUPPORT)
    assert answer.status_code == 503
    assert int(answer.headers["retry-after"]) > 0
    assert await said(client, BASE) == BASE


async def test_the_chat_offers_it_to_its_tenant(version: ModelVersion, acme: Tenant) -> None:
    def offered() -> tuple[list[str], list[str]]:
        globex = Tenant.open("globex", by="test")
        alice, charlie = (
            User.objects.create_user(f"{name}@example.com", "a long enough password")
            for name in ("alice", "charlie")
        )
        own = acme.add_member(alice, Role.MEMBER, by="test")
        other = globex.add_member(charlie, Role.MEMBER, by="test")
        return models_for(own), models_for(other)

    assert await in_database(offered)() == ([BASE, SUPPORT], [BASE])


async def test_a_question_in_the_chat_is_answered_with_it(
    version: ModelVersion, context: Context, acme: Tenant
) -> None:
    completion = await asked_in_the_chat(context, acme, SUPPORT)
    assert (completion.model, completion.adapter) == (BASE, "support")


async def asked_in_the_chat(context: Context, tenant: Tenant, model: str) -> Completion:
    """The completion behind a question of a new member."""

    def joined() -> Member:
        user = User.objects.create_user("dave@example.com", "a long enough password")
        member: Member = tenant.add_member(user, Role.MEMBER, by="test")
        return member

    member = await in_database(joined)()
    caller = await context.authenticator.by_member(member.pk)
    send = Send(message=uuid4(), model=model, text="hi")
    exchange = await sending.submit(context, caller, member, send, "198.51.100.7")
    return await in_database(Completion.objects.get)(pk=exchange.answer.completion_id)
