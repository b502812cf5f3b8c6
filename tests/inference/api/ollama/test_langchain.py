"""LangChain's ChatOllama, unchanged."""

from typing import Any

import httpx
import pytest
from channels.db import database_sync_to_async
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langchain_core.tools import tool
from langchain_ollama import ChatOllama

from inference.intake.context import Context
from tenants.models import ApiKey, Tenant
from tests.inference.engine_server import EngineServer
from tests.inference.web import served

in_database = database_sync_to_async


@tool
def get_weather(city: str) -> str:
    """Say the weather in a city."""
    return f"22 degrees in {city}"


@pytest.fixture
async def chat(context: Context, acme: Tenant) -> ChatOllama:
    _, key = await in_database(ApiKey.issue)(acme, "ci", by="test")
    transport = httpx.ASGITransport(served, client=("198.51.100.9", 5000))
    return ChatOllama(
        model="small",
        base_url="http://forebay:80/ollama",
        client_kwargs={"headers": {"Authorization": f"Bearer {key}"}},
        async_client_kwargs={"transport": transport},
        temperature=0,
        num_ctx=4096,
    )


async def test_an_answer_and_its_usage(chat: ChatOllama) -> None:
    answer = await chat.ainvoke("Say hi.")
    assert answer.content == "One two three"
    usage = answer.usage_metadata
    assert usage
    assert (usage["input_tokens"], usage["output_tokens"]) == (7, 3)
    texts = [str(chunk.content) async for chunk in chat.astream("Say hi.")]
    assert "".join(texts) == "One two three"


async def test_a_tool_and_its_result(chat: ChatOllama, engine: EngineServer) -> None:
    function = {"name": "get_weather", "arguments": '{"city": "Paris"}'}
    engine.deltas = [{"tool_calls": [{"index": 0, "id": "call_1", "function": function}]}]
    engine.finish_reason = "tool_calls"
    able = chat.bind_tools([get_weather])
    question = HumanMessage("Weather in Paris?")
    answer = await able.ainvoke([question])
    assert isinstance(answer, AIMessage)
    (call,) = answer.tool_calls
    assert (call["name"], call["args"]) == ("get_weather", {"city": "Paris"})
    engine.deltas, engine.finish_reason = [], "stop"
    result: Any = ToolMessage(get_weather.invoke(call["args"]), tool_call_id=call["id"])
    again = await able.ainvoke([question, answer, result])
    assert again.content == "One two three"
    sent = engine.asked[-1]["messages"]
    assert sent[1]["tool_calls"][0]["id"] == sent[2]["tool_call_id"]
    assert sent[2]["content"] == "22 degrees in Paris"
