"""OpenAI's own SDK for Python, unchanged, over the Responses API."""

from collections.abc import AsyncIterator
from typing import Any

import httpx2
import openai
import pytest
from channels.db import database_sync_to_async
from openai import AsyncOpenAI
from pydantic import BaseModel

from inference.engines.kinds.openai import OpenAIEngine
from inference.intake.context import Context
from tenants.models import ApiKey, Tenant
from tests.inference.api.responses.asking import PATCH, WEATHER, result
from tests.inference.engine_server import EngineServer
from tests.inference.web import served

in_database = database_sync_to_async
ASK: Any = {"model": "small", "input": "Say hi."}


class City(BaseModel):
    city: str


@pytest.fixture
async def sdk(context: Context, acme: Tenant) -> AsyncIterator[AsyncOpenAI]:
    _, key = await in_database(ApiKey.issue)(acme, "ci", by="test")
    transport = httpx2.ASGITransport(served, client=("198.51.100.8", 5000))
    http = httpx2.AsyncClient(transport=transport)
    async with AsyncOpenAI(
        api_key=key, base_url="http://forebay/v1", http_client=http, max_retries=0
    ) as client:
        yield client


async def test_a_response(sdk: AsyncOpenAI) -> None:
    response = await sdk.responses.create(**ASK, instructions="Be brief.")
    assert response.output_text == "One two three"
    assert (response.status, response.usage and response.usage.input_tokens) == ("completed", 7)
    assert response._request_id


async def test_events_and_their_response(sdk: AsyncOpenAI) -> None:
    names = [event.type async for event in await sdk.responses.create(**ASK, stream=True)]
    assert (names[0], names[-1]) == ("response.created", "response.completed")
    async with sdk.responses.stream(**ASK) as stream:
        texts = [e.delta async for e in stream if e.type == "response.output_text.delta"]
        final = await stream.get_final_response()
    assert "".join(texts) == final.output_text == "One two three"
    assert final.usage
    assert final.usage.output_tokens == 3


async def test_what_is_parsed(sdk: AsyncOpenAI, engine: EngineServer) -> None:
    engine.words = ['{"city":', '"Paris"}']
    parsed = await sdk.responses.parse(**ASK, text_format=City)
    assert parsed.output_parsed == City(city="Paris")
    async with sdk.responses.stream(**ASK, text_format=City) as stream:
        final = await stream.get_final_response()
    assert final.output_parsed == City(city="Paris")
    form = engine.asked[0]["response_format"]["json_schema"]
    assert (form["name"], form["strict"]) == ("City", True)


async def test_streamed_thoughts_and_calls_go_back_as_they_are(
    sdk: AsyncOpenAI, engine: EngineServer
) -> None:
    engine.deltas = [
        {"reasoning_content": "Hm."},
        {"tool_calls": [{"index": 0, "id": "call_1", "function": {"name": "get_weather"}}]},
        {"tool_calls": [{"index": 0, "function": {"arguments": '{"city": '}}]},
        {"tool_calls": [{"index": 0, "function": {"arguments": '"Paris"}'}}]},
        {"tool_calls": [{"index": 1, "id": "call_2", "function": {"name": "apply_patch"}}]},
        {"tool_calls": [{"index": 1, "function": {"arguments": '{"input":"*** x"}'}}]},
    ]
    engine.finish_reason = "tool_calls"
    tools: Any = [WEATHER, PATCH]
    async with sdk.responses.stream(**ASK, tools=tools) as stream:
        final = await stream.get_final_response()
    reasoning, call, patch = final.output
    assert (reasoning.type, call.type, patch.type) == (
        "reasoning",
        "function_call",
        "custom_tool_call",
    )
    assert (call.arguments, patch.input) == ('{"city": "Paris"}', "*** x")  # type: ignore[union-attr]
    engine.deltas, engine.finish_reason = [], "stop"
    patched: Any = {"type": "custom_tool_call_output", "call_id": "call_2", "output": "done"}
    history: Any = [{"role": "user", "content": "Say hi."}]
    history += [item.to_dict() for item in final.output]
    history += [result("22"), patched]
    again = await sdk.responses.create(model="small", input=history, tools=tools, store=False)
    assert again.output_text == "One two three"
    sent = engine.asked[-1]["messages"]
    assert [m["role"] for m in sent] == ["user", "assistant", "tool", "tool"]
    assert sent[1]["reasoning_content"] == "Hm."


async def test_the_stored_side(sdk: AsyncOpenAI) -> None:
    first = await sdk.responses.create(**ASK)
    second = await sdk.responses.create(model="small", input="And?", previous_response_id=first.id)
    assert second.previous_response_id == first.id
    assert (await sdk.responses.retrieve(first.id)).output_text == first.output_text
    items = [item async for item in sdk.responses.input_items.list(second.id)]
    assert len(items) == 3
    await sdk.responses.delete(first.id)
    with pytest.raises(openai.NotFoundError):
        await sdk.responses.retrieve(first.id)


async def test_tokens(sdk: AsyncOpenAI, monkeypatch: pytest.MonkeyPatch) -> None:
    async def count(self: OpenAIEngine, session: object, body: dict[str, Any]) -> int:
        return 41

    monkeypatch.setattr(OpenAIEngine, "count_chat", count)
    assert (await sdk.responses.input_tokens.count(**ASK)).input_tokens == 41


async def test_compaction(sdk: AsyncOpenAI) -> None:
    compacted = await sdk.responses.compact(**ASK)
    assert [item.type for item in compacted.output] == ["message", "compaction"]
    again: Any = [item.to_dict(warnings=False) for item in compacted.output]
    assert (await sdk.responses.create(model="small", input=again)).output_text == "One two three"


async def test_errors_have_its_classes(sdk: AsyncOpenAI, engine: EngineServer) -> None:
    with pytest.raises(openai.NotFoundError) as missing:
        await sdk.responses.create(model="none", input="x")
    assert missing.value.request_id
    with pytest.raises(openai.BadRequestError) as refused:
        await sdk.responses.create(**ASK, temperature=5)
    assert refused.value.param == "temperature"
    engine.breaks_off = True
    events = [event async for event in await sdk.responses.create(**ASK, stream=True)]
    assert events[-1].type == "response.failed"
    assert events[-1].response.error
