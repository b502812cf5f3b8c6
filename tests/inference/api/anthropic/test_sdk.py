"""Anthropic's own SDK for Python, unchanged."""

from collections.abc import AsyncIterator
from typing import Any

import anthropic
import httpx2
import pytest
from anthropic import AsyncAnthropic
from channels.db import database_sync_to_async

from inference.engines.kinds.openai import OpenAIEngine
from inference.intake.context import Context
from tenants.models import ApiKey, Tenant
from tests.inference.api.anthropic.asking import HI, WEATHER
from tests.inference.engine_server import EngineServer
from tests.inference.web import served

in_database = database_sync_to_async
ASK: Any = {"model": "small", "max_tokens": 64, "messages": HI}


def client_with(*, api_key: str | None = None, auth_token: str | None = None) -> AsyncAnthropic:
    transport = httpx2.ASGITransport(served, client=("198.51.100.8", 5000))
    http = httpx2.AsyncClient(transport=transport)
    return AsyncAnthropic(
        api_key=api_key,
        auth_token=auth_token,
        base_url="http://forebay",
        http_client=http,
        max_retries=0,
    )


@pytest.fixture
async def key(context: Context, acme: Tenant) -> str:
    _, text = await in_database(ApiKey.issue)(acme, "ci", by="test")
    return text


@pytest.fixture
async def sdk(key: str) -> AsyncIterator[AsyncAnthropic]:
    async with client_with(api_key=key) as client:
        yield client


async def test_a_message(sdk: AsyncAnthropic) -> None:
    message = await sdk.messages.create(**ASK, system="Be brief.")
    assert message.content[0].text == "One two three"
    assert (message.stop_reason, message.usage.input_tokens) == ("end_turn", 7)
    assert message._request_id


async def test_a_bearer_token(key: str) -> None:
    async with client_with(auth_token=key) as client:
        assert (await client.messages.create(**ASK)).usage.output_tokens == 3


async def test_events_and_their_message(sdk: AsyncAnthropic) -> None:
    names = [event.type async for event in await sdk.messages.create(**ASK, stream=True)]
    assert (names[0], names[-1]) == ("message_start", "message_stop")
    async with sdk.messages.stream(**ASK) as stream:
        texts = [text async for text in stream.text_stream]
        final = await stream.get_final_message()
    assert "".join(texts) == "One two three"
    assert (final.usage.input_tokens, final.usage.output_tokens) == (7, 3)


async def test_streamed_thinking_and_calls(sdk: AsyncAnthropic, engine: EngineServer) -> None:
    function = {"name": "get_weather", "arguments": ""}
    engine.deltas = [
        {"reasoning_content": "Hm."},
        {"tool_calls": [{"index": 0, "id": "call_1", "function": function}]},
        {"tool_calls": [{"index": 0, "function": {"arguments": '{"city": '}}]},
        {"tool_calls": [{"index": 0, "function": {"arguments": '"Paris"}'}}]},
    ]
    engine.finish_reason = "tool_calls"
    tools: Any = [WEATHER]
    async with sdk.messages.stream(**ASK, tools=tools) as stream:
        final = await stream.get_final_message()
    thinking, call = final.content
    assert (thinking.type, call.type) == ("thinking", "tool_use")
    assert (call.input, final.stop_reason) == ({"city": "Paris"}, "tool_use")  # type: ignore[union-attr]
    # What the SDK has read goes back as it is.
    engine.deltas = []
    results: Any = [{"type": "tool_result", "tool_use_id": "call_1", "content": "22"}]
    history = [*HI, {"role": "assistant", "content": final.content}]
    history.append({"role": "user", "content": results})
    again = await sdk.messages.create(**{**ASK, "messages": history}, tools=tools)
    assert again.content
    sent = engine.asked[-1]["messages"]
    assert (sent[1]["reasoning_content"], sent[2]["content"]) == ("Hm.", "22")


@pytest.mark.parametrize(
    ("pieces", "expected"),
    [
        (["", '{"city": Par', "is}"], {"city": None, "INVALID_JSON": '{"city": Paris}'}),
        ([" ", "[1", "]"], {"INVALID_JSON": " [1]"}),
        (["Paris, I", " think"], {"INVALID_JSON": "Paris, I think"}),
        (['{"city": "Par', 'is"} ', "}"], {"city": "Paris", "INVALID_JSON": '{"city": "Paris"} }'}),
    ],
)
async def test_a_streamed_call_that_is_no_json(
    sdk: AsyncAnthropic, engine: EngineServer, pieces: list[str], expected: dict[str, Any]
) -> None:
    """The SDK parses the input after each piece, and raises where that is no beginning of JSON."""
    named = {"name": "get_weather", "arguments": ""}
    engine.deltas = [{"tool_calls": [{"index": 0, "id": "call_1", "function": named}]}]
    engine.deltas += [
        {"tool_calls": [{"index": 0, "function": {"arguments": each}}]} for each in pieces
    ]
    engine.finish_reason = "tool_calls"
    tools: Any = [WEATHER]
    async with sdk.messages.stream(**ASK, tools=tools) as stream:
        (call,) = (await stream.get_final_message()).content
    assert call.input == expected  # type: ignore[union-attr]


async def test_tokens(sdk: AsyncAnthropic, monkeypatch: pytest.MonkeyPatch) -> None:
    async def count(self: OpenAIEngine, session: object, body: dict[str, Any]) -> int:
        return 41

    monkeypatch.setattr(OpenAIEngine, "count_chat", count)
    messages: Any = HI
    counted = await sdk.messages.count_tokens(model="small", messages=messages)
    assert counted.input_tokens == 41


async def test_models(sdk: AsyncAnthropic) -> None:
    assert [model.id async for model in sdk.models.list()] == ["small"]
    model = await sdk.models.retrieve("small")
    assert (model.display_name, model.max_input_tokens) == ("small", 100_000)


async def test_errors_have_its_classes(sdk: AsyncAnthropic, engine: EngineServer) -> None:
    with pytest.raises(anthropic.NotFoundError) as missing:
        await sdk.messages.create(**{**ASK, "model": "none"})
    assert missing.value.request_id
    assert missing.value.body["error"]["type"] == "not_found_error"  # type: ignore[index]
    with pytest.raises(anthropic.BadRequestError):
        await sdk.messages.create(**{**ASK, "max_tokens": 0})
    async with client_with(api_key="sk-fb-x") as stranger:
        with pytest.raises(anthropic.AuthenticationError):
            await stranger.messages.create(**ASK)
    engine.breaks_off = True
    with pytest.raises(anthropic.APIStatusError) as broken:
        async for _ in await sdk.messages.create(**ASK, stream=True):
            pass
    assert broken.value.body["error"]["type"] == "api_error"  # type: ignore[index]
