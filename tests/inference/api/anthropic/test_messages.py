"""The Messages API over HTTP, with a runner and an engine behind it."""

import asyncio
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import httpx
import orjson
import pytest
from channels.db import database_sync_to_async
from pytest_django.fixtures import Settings

from inference import engines
from inference.api import served_models
from inference.engines.kinds.openai import OpenAIEngine
from inference.intake.context import Context
from inference.models import Completion, Usage
from tenants.models import Tenant
from tests.inference.api.anthropic.asking import ASK, HI, VERSION, WEATHER, call, result, turns
from tests.inference.api.conftest import client_of
from tests.inference.engine_server import EngineServer

in_database = database_sync_to_async
PATH = "/v1/messages"


async def ask(client: httpx.AsyncClient, **fields: Any) -> httpx.Response:
    return await client.post(PATH, json={**ASK, **fields}, headers=VERSION)


async def test_a_message_and_its_record(client: httpx.AsyncClient, engine: EngineServer) -> None:
    answer = await ask(client, system="Be brief.", stop_sequences=["END"])
    message, request_id = answer.json(), answer.headers["x-request-id"]
    assert answer.headers["request-id"] == request_id
    assert message == {
        "id": f"msg_{UUID(request_id).hex}",
        "type": "message",
        "role": "assistant",
        "model": "small",
        "content": [{"type": "text", "text": "One two three"}],
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "usage": {
            "input_tokens": 7,
            "cache_creation_input_tokens": 0,
            "cache_read_input_tokens": 0,
            "output_tokens": 3,
            "service_tier": "standard",
        },
    }
    (sent,) = engine.asked
    assert sent == {
        "model": sent["model"],
        "messages": [{"role": "system", "content": "Be brief."}, *HI],
        "max_tokens": 64,
        "stop": ["END"],
    }
    usage = await in_database(Usage.objects.get)(completion_id=request_id)
    assert (usage.prompt_tokens, usage.completion_tokens) == (7, 3)
    completion = await in_database(Completion.objects.get)(pk=request_id)
    assert completion.route == PATH


async def test_a_streamed_message(client: httpx.AsyncClient) -> None:
    answer = await ask(client, stream=True)
    assert answer.headers["content-type"].startswith("text/event-stream")
    events = [orjson.loads(line[6:]) for line in answer.text.split("\n") if line[:5] == "data:"]
    names = [event["type"] for event in events]
    assert (names[0], names[-2:]) == ("message_start", ["message_delta", "message_stop"])
    deltas = [e["delta"]["text"] for e in events if e["type"] == "content_block_delta"]
    assert "".join(deltas) == "One two three"
    assert (events[-2]["usage"]["input_tokens"], events[-2]["usage"]["output_tokens"]) == (7, 3)


async def test_the_same_prompt_begins_alike_whatever_its_billing_block_says(
    client: httpx.AsyncClient, engine: EngineServer
) -> None:
    for number in range(2):
        billing = f"x-anthropic-billing-header: cc_version=2.1; cch={number};"
        blocks = [{"type": "text", "text": text} for text in (billing, "You are an agent.")]
        await ask(client, system=blocks)
    assert engine.asked[0] == engine.asked[1]


async def test_a_turn_with_tools(client: httpx.AsyncClient, engine: EngineServer) -> None:
    history = turns("Weather in Paris?", [call(city="Paris")], [result()])
    answer = await ask(client, messages=history, tools=[WEATHER], tool_choice={"type": "auto"})
    assert answer.status_code == 200, answer.text
    assert [m["role"] for m in engine.asked[0]["messages"]] == ["user", "assistant", "tool"]
    assert engine.asked[0]["tool_choice"] == "auto"


# Errors ------------------------------------------------------------------------------------------
async def test_errors_in_anthropics_shape(client: httpx.AsyncClient, engine: EngineServer) -> None:
    for fields, status, kind, code in (
        ({"max_tokens": None}, 400, "invalid_request_error", "invalid_request"),
        ({"model": "none"}, 404, "not_found_error", "model_not_found"),
    ):
        answer = await ask(client, **fields)
        error = answer.json()["error"]
        assert (answer.status_code, error["type"], error["code"]) == (status, kind, code)
        assert answer.json()["type"] == "error"
        assert answer.json()["request_id"] == answer.headers["request-id"]
    wrong = await client.post(PATH, json=ASK, headers={"authorization": "Bearer sk-fb-x"})
    assert (wrong.status_code, wrong.json()["error"]["type"]) == (401, "authentication_error")
    for path in ("/v1/messages/batches", "/v1/messages/x/y"):
        missing = await client.post(path, json={})
        assert (missing.status_code, missing.json()["error"]["type"]) == (404, "not_found_error")
    assert (await client.get(PATH)).status_code == 405
    engine.status = 500
    broken = await ask(client)
    assert (broken.status_code, broken.json()["error"]["type"]) == (502, "api_error")


async def test_a_prompt_that_is_too_long_is_said_in_words_that_agents_know(
    client: httpx.AsyncClient,
) -> None:
    long = await ask(client, messages=[{"role": "user", "content": "long " * 400_000}])
    assert long.status_code == 400
    assert long.json()["error"]["message"].startswith("prompt is too long: ")


async def test_limits_in_anthropics_headers(context: Context, acme: Tenant) -> None:
    limits = {"requests_per_minute": 2, "burst": 2, "tokens_per_minute": 100_000}
    await in_database(Tenant.objects.filter(pk=acme.pk).update)(**limits)
    async with await client_of(acme) as client:
        answer = await ask(client)
        assert answer.headers["anthropic-ratelimit-requests-limit"] == "2"
        assert answer.headers["anthropic-ratelimit-requests-remaining"] == "1"
        reset = datetime.fromisoformat(answer.headers["anthropic-ratelimit-requests-reset"])
        assert 0 < (reset - datetime.now(UTC)).total_seconds() < 60
        assert answer.headers["anthropic-ratelimit-tokens-limit"] == "100000"
        await ask(client)
        refused = await ask(client)
    assert (refused.status_code, refused.json()["error"]["type"]) == (429, "rate_limit_error")
    assert int(refused.headers["retry-after"]) > 0
    assert refused.json()["error"]["refusal_id"] == refused.headers["x-refusal-id"]


# Streams again -----------------------------------------------------------------------------------
async def test_a_stream_is_read_again_by_the_message_id(
    client: httpx.AsyncClient, acme: Tenant, globex: Tenant
) -> None:
    answer = await ask(client, stream=True)
    first = orjson.loads(answer.text.split("data: ", 1)[1].split("\n", 1)[0])
    path = f"{PATH}/{first['message']['id']}/events"
    again = await client.get(path, headers=VERSION)
    assert again.text == answer.text
    last = answer.text.rsplit("id: ", 1)[1].split("\n", 1)[0]
    rest = await client.get(path, headers={"last-event-id": last})
    assert "message_start" not in rest.text
    async with await client_of(globex) as stranger:
        hidden = await stranger.get(path)
    assert (hidden.status_code, hidden.json()["error"]["type"]) == (404, "not_found_error")
    assert (await client.get(path, headers={"last-event-id": "x"})).status_code == 400


async def test_a_stream_that_is_read_on_has_the_blocks_that_it_had(
    client: httpx.AsyncClient, engine: EngineServer
) -> None:
    """The client wanted no thinking: its text is the first block."""
    engine.deltas = [{"reasoning_content": "Hm."}, {"content": "One"}, {"content": " two"}]
    answer = await ask(client, stream=True, thinking={"type": "disabled"})
    assert "Hm." not in answer.text
    first = orjson.loads(answer.text.split("data: ", 1)[1].split("\n", 1)[0])
    path = f"{PATH}/{first['message']['id']}/events"
    rest = await client.get(path, headers={"last-event-id": "2h"})
    blocks = [orjson.loads(line[6:]) for line in rest.text.split("\n") if line.startswith("data")]
    assert {block["index"] for block in blocks if "index" in block} == {0}
    assert "Hm." not in rest.text


async def test_a_silent_engine_is_bridged_by_pings(
    client: httpx.AsyncClient, engine: EngineServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    from inference.api.http import streaming
    from inference.intake import answer_stream

    monkeypatch.setattr(answer_stream, "LOOK_AROUND_S", 0.1)
    monkeypatch.setattr(streaming, "FIRST_WRITE_S", 0.0)
    monkeypatch.setattr(streaming, "SILENCE_S", 0.0)
    engine.goes_on.clear()
    asking = asyncio.create_task(ask(client, stream=True))
    await asyncio.sleep(0.5)
    engine.goes_on.set()
    answer = await asking
    assert answer.text.startswith('event: ping\ndata: {"type":"ping"}\n\n')
    assert answer.text.endswith('data: {"type":"message_stop"}\n\n')


# Counting ----------------------------------------------------------------------------------------
async def test_tokens_are_counted_by_the_engine(
    client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    counted = list[Any]()

    async def count(self: OpenAIEngine, session: object, body: dict[str, Any]) -> int:
        counted.append(body)
        return 41

    monkeypatch.setattr(OpenAIEngine, "count_chat", count)
    body = {"model": "small", "messages": HI, "system": "Be brief.", "tools": [WEATHER]}
    answer = await client.post(f"{PATH}/count_tokens", json=body)
    assert answer.json() == {"input_tokens": 41}
    assert [m["role"] for m in counted[0]["messages"]] == ["system", "user"]
    assert counted[0]["tools"][0]["function"]["name"] == "get_weather"
    assert not await in_database(Completion.objects.filter(route=f"{PATH}/count_tokens").exists)()


async def test_a_prompt_does_not_leave_the_installation_to_be_counted(
    client: httpx.AsyncClient, pool: str, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def count(self: OpenAIEngine, session: object, body: dict[str, Any]) -> int:
        raise AssertionError

    monkeypatch.setattr(OpenAIEngine, "count_chat", count)
    settings.ENGINES["small"]["pools"][pool]["hosted"] = True
    engines.forget()
    answer = await client.post(f"{PATH}/count_tokens", json={"model": "small", "messages": HI})
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "not_offered")


async def test_an_engine_that_cannot_count_is_no_guess(client: httpx.AsyncClient) -> None:
    answer = await client.post(f"{PATH}/count_tokens", json={"model": "small", "messages": HI})
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "not_offered")


async def test_an_engine_that_does_not_answer_the_count(
    client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def count(self: OpenAIEngine, session: object, body: dict[str, Any]) -> int:
        raise TimeoutError

    monkeypatch.setattr(OpenAIEngine, "count_chat", count)
    answer = await client.post(f"{PATH}/count_tokens", json={"model": "small", "messages": HI})
    assert (answer.status_code, answer.json()["error"]["type"]) == (503, "overloaded_error")


async def test_counting_takes_from_the_requests_per_minute(context: Context, acme: Tenant) -> None:
    limits = {"requests_per_minute": 1, "burst": 1}
    await in_database(Tenant.objects.filter(pk=acme.pk).update)(**limits)
    async with await client_of(acme) as client:
        body = {"model": "small", "messages": HI}
        statuses = [
            (await client.post(f"{PATH}/count_tokens", json=body)).status_code for _ in range(2)
        ]
    assert statuses == [404, 429]


# Models ------------------------------------------------------------------------------------------
@pytest.fixture
def many(monkeypatch: pytest.MonkeyPatch, settings: Settings) -> None:
    """Five models, a to e."""

    async def listed(caller: object) -> list[dict[str, Any]]:
        return [{"id": name, "created": 1_700_000_000, "context_length": 8192} for name in "abcde"]

    monkeypatch.setattr(served_models, "listed", listed)


async def test_models_in_anthropics_shape_for_its_clients(client: httpx.AsyncClient) -> None:
    (model,) = (await client.get("/v1/models", headers=VERSION)).json()["data"]
    assert (model["type"], model["id"], model["display_name"]) == ("model", "small", "small")
    assert datetime.fromisoformat(model["created_at"]).tzinfo
    assert model["max_input_tokens"] == 100_000
    assert (await client.get("/v1/models/small", headers=VERSION)).json() == model
    missing = await client.get("/v1/models/none", headers=VERSION)
    assert (missing.status_code, missing.json()["type"]) == (404, "error")
    of_openai = (await client.get("/v1/models")).json()
    assert (of_openai["object"], of_openai["data"][0]["object"]) == ("list", "model")


@pytest.mark.parametrize(
    ("query", "names", "more"),
    [
        ("", "abcde", False),
        ("?limit=2", "ab", True),
        ("?limit=2&after_id=b", "cd", True),
        ("?after_id=c", "de", False),
        ("?after_id=e", "", False),
        ("?limit=2&before_id=d", "bc", True),
        ("?before_id=c", "ab", False),
    ],
)
async def test_pages_of_models(
    client: httpx.AsyncClient, many: None, query: str, names: str, more: bool
) -> None:
    page = (await client.get(f"/v1/models{query}", headers=VERSION)).json()
    assert ["".join(model["id"] for model in page["data"]), page["has_more"]] == [names, more]
    ends = [names[0], names[-1]] if names else [None, None]
    assert [page["first_id"], page["last_id"]] == ends


@pytest.mark.parametrize("query", ["limit=0", "limit=1001", "limit=x", "after_id=z", "before_id=z"])
async def test_a_page_that_cannot_be(client: httpx.AsyncClient, many: None, query: str) -> None:
    refused = await client.get(f"/v1/models?{query}", headers=VERSION)
    assert (refused.status_code, refused.json()["error"]["param"]) == (400, query.split("=")[0])
