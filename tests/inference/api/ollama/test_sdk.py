"""Ollama's own SDK for Python, unchanged."""

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from channels.db import database_sync_to_async
from ollama import AsyncClient, ResponseError

from inference.intake.context import Context
from tenants.models import ApiKey, Tenant
from tests.inference.api.ollama.asking import HI
from tests.inference.engine_server import EngineServer
from tests.inference.web import served

in_database = database_sync_to_async


def client_with(key: str, base: str = "/ollama") -> AsyncClient:
    transport = httpx.ASGITransport(served, client=("198.51.100.9", 5000))
    headers = {"Authorization": f"Bearer {key}"}
    return AsyncClient(f"http://forebay:80{base}", headers=headers, transport=transport)


@pytest.fixture
async def key(context: Context, acme: Tenant) -> str:
    _, text = await in_database(ApiKey.issue)(acme, "ci", by="test")
    return text


@pytest.fixture(params=["", "/ollama"])
async def sdk(key: str, request: pytest.FixtureRequest) -> AsyncIterator[AsyncClient]:
    async with client_with(key, request.param) as client:
        yield client


def get_weather(city: str) -> str:
    """Say the weather in a city.

    Args:
        city: its name
    """
    return f"22 degrees in {city}"


async def test_a_chat(sdk: AsyncClient) -> None:
    answer = await sdk.chat("small", HI, options={"temperature": 0, "num_ctx": 4096})
    assert answer.message.content == "One two three"
    assert (answer.done, answer.done_reason) == (True, "stop")
    assert (answer.prompt_eval_count, answer.eval_count) == (7, 3)
    assert answer.eval_duration


async def test_a_streamed_chat(sdk: AsyncClient) -> None:
    parts = [part async for part in await sdk.chat("small:latest", HI, stream=True)]
    assert "".join(part.message.content or "" for part in parts) == "One two three"
    assert [part.done for part in parts[-2:]] == [False, True]


async def test_a_prompt(sdk: AsyncClient) -> None:
    assert (await sdk.generate("small", "Say hi.")).response == "One two three"
    parts = [part async for part in await sdk.generate("small", "Say hi.", stream=True)]
    assert "".join(part.response or "" for part in parts) == "One two three"
    assert (await sdk.generate("small", "")).done_reason == "load"


async def test_a_function_is_called_and_its_result_goes_back(
    sdk: AsyncClient, engine: EngineServer
) -> None:
    function = {"name": "get_weather", "arguments": '{"city": "Paris"}'}
    calls = [{"id": "call_1", "type": "function", "function": function}]
    engine.message = {"content": None, "reasoning_content": "Hm.", "tool_calls": calls}
    engine.finish_reason = "tool_calls"
    tools: Any = [get_weather]
    answer = await sdk.chat("small", HI, tools=tools, think=True)
    assert answer.message.thinking == "Hm."
    (call,) = answer.message.tool_calls or ()
    assert call.function.arguments == {"city": "Paris"}
    engine.message, engine.finish_reason = {}, "stop"
    result = {
        "role": "tool",
        "content": get_weather(**call.function.arguments),
        "tool_name": call.function.name,
    }
    history: Any = [*HI, answer.message, result]
    again = await sdk.chat("small", history, tools=tools)
    assert again.message.content == "One two three"
    sent = engine.asked[-1]["messages"]
    assert sent[1]["reasoning_content"] == "Hm."
    assert sent[1]["tool_calls"][0]["id"] == sent[2]["tool_call_id"]
    assert sent[2]["content"] == "22 degrees in Paris"


async def test_a_schema(sdk: AsyncClient, engine: EngineServer) -> None:
    schema = {"type": "object", "properties": {"age": {"type": "integer"}}}
    await sdk.chat("small", HI, format=schema)
    assert engine.asked[0]["response_format"]["json_schema"]["schema"] == schema


async def test_models(sdk: AsyncClient) -> None:
    (model,) = (await sdk.list()).models
    assert (model.model, model.size) == ("small:latest", 0)
    shown = await sdk.show("small")
    assert shown.capabilities == ["completion", "tools"]
    assert shown.modelinfo
    assert shown.modelinfo["forebay.context_length"] == 100_000
    (process,) = (await sdk.ps()).models
    assert (process.model, process.context_length) == ("small:latest", 100_000)


async def test_errors(sdk: AsyncClient, engine: EngineServer) -> None:
    with pytest.raises(ResponseError, match="model 'none' not found") as missing:
        await sdk.chat("none", HI)
    assert missing.value.status_code == 404
    with pytest.raises(ResponseError, match="an operator") as refused:
        await sdk.pull("small")
    assert refused.value.status_code == 404
    async with client_with("sk-fb-x") as stranger:
        with pytest.raises(ResponseError) as unknown:
            await stranger.list()
    assert unknown.value.status_code == 401
    engine.breaks_off = True
    with pytest.raises(ResponseError, match="broke off"):
        async for _ in await sdk.chat("small", HI, stream=True):
            pass
