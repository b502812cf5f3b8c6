"""The cases of the Open Responses compliance test, and the fields that its schema requires.

The test itself is a program for Node that cannot be fetched here. Its cases and the required fields
are those of the specification of 2026-04-24 (openresponses.org).
"""

from typing import Any

import httpx
import pytest

from tests.inference.api.responses.asking import read
from tests.inference.engine_server import EngineServer

PATH = "/v1/responses"
USER = {"type": "message", "role": "user"}
WEATHER = {
    "type": "function",
    "name": "get_weather",
    "description": "Get the current weather for a location",
    "parameters": {
        "type": "object",
        "properties": {"location": {"type": "string", "description": "The city and state"}},
        "required": ["location"],
    },
}
RED = "data:image/png;base64,iVBORw0KGgo="
# The required fields of a response, each with its types.
NUMBER, OPTIONAL = (int, float), type(None)
RESPONSE: dict[str, tuple[type, ...]] = {
    "id": (str,),
    "object": (str,),
    "created_at": (int,),
    "completed_at": (int, OPTIONAL),
    "status": (str,),
    "incomplete_details": (dict, OPTIONAL),
    "model": (str,),
    "previous_response_id": (str, OPTIONAL),
    "instructions": (str, OPTIONAL),
    "output": (list,),
    "error": (dict, OPTIONAL),
    "tools": (list,),
    "tool_choice": (str, dict),
    "truncation": (str,),
    "parallel_tool_calls": (bool,),
    "text": (dict,),
    "top_p": NUMBER,
    "presence_penalty": NUMBER,
    "frequency_penalty": NUMBER,
    "top_logprobs": (int,),
    "temperature": NUMBER,
    "reasoning": (dict, OPTIONAL),
    "usage": (dict, OPTIONAL),
    "max_output_tokens": (int, OPTIONAL),
    "max_tool_calls": (int, OPTIONAL),
    "store": (bool,),
    "background": (bool,),
    "service_tier": (str,),
    "metadata": (dict,),
    "safety_identifier": (str, OPTIONAL),
    "prompt_cache_key": (str, OPTIONAL),
}
ITEMS = {
    "message": {"type", "id", "status", "role", "content"},
    "function_call": {"type", "id", "call_id", "name", "arguments", "status"},
    "reasoning": {"type", "id", "summary"},
}
# The fields of events beside `type` and `sequence_number`.
_PLACE = {"item_id", "output_index"}
EVENTS = {
    **dict.fromkeys(("created", "in_progress", "completed", "incomplete", "failed"), {"response"}),
    **dict.fromkeys(("output_item.added", "output_item.done"), {"output_index", "item"}),
    **dict.fromkeys(
        ("content_part.added", "content_part.done"), {*_PLACE, "content_index", "part"}
    ),
    "output_text.delta": {*_PLACE, "content_index", "delta"},
    "output_text.done": {*_PLACE, "content_index", "text"},
    "reasoning_summary_part.added": {*_PLACE, "summary_index", "part"},
    "reasoning_summary_part.done": {*_PLACE, "summary_index", "part"},
    "reasoning_summary_text.delta": {*_PLACE, "summary_index", "delta"},
    "reasoning_summary_text.done": {*_PLACE, "summary_index", "text"},
    "function_call_arguments.delta": {*_PLACE, "delta"},
    "function_call_arguments.done": {*_PLACE, "arguments"},
}


def check_response(response: dict[str, Any]) -> None:
    for name, types in RESPONSE.items():
        assert name in response, name
        assert isinstance(response[name], types), (name, response[name])
    for tool in response["tools"]:
        assert {"type", "name", "description", "parameters", "strict"} <= tool.keys()
    assert response["text"]["format"]["type"] in ("text", "json_object", "json_schema")
    if usage := response["usage"]:
        assert isinstance(usage["input_tokens_details"]["cached_tokens"], int)
        assert isinstance(usage["output_tokens_details"]["reasoning_tokens"], int)
        assert usage["total_tokens"] == usage["input_tokens"] + usage["output_tokens"]
    for item in response["output"]:
        assert ITEMS[item["type"]] <= item.keys()


async def completed(client: httpx.AsyncClient, **body: Any) -> dict[str, Any]:
    answer = await client.post(PATH, json={"model": "small", "stream": False, **body})
    assert answer.status_code == 200, answer.text
    response: dict[str, Any] = answer.json()
    check_response(response)
    assert response["status"] == "completed"
    assert response["output"]
    return response


async def streamed(client: httpx.AsyncClient, **body: Any) -> list[dict[str, Any]]:
    answer = await client.post(PATH, json={"model": "small", "stream": True, **body})
    events = [event for _, event in read(answer.content)]
    for event in events:
        required = EVENTS[event["type"].removeprefix("response.")]
        assert required | {"type", "sequence_number"} <= event.keys(), event
        if "response" in event:
            check_response(event["response"])
    assert answer.text.endswith("data: [DONE]\n\n")
    assert events[-1]["type"] == "response.completed"
    return events


async def test_a_basic_text_response(client: httpx.AsyncClient) -> None:
    await completed(client, input=[{**USER, "content": "Say hello in exactly 3 words."}])


async def test_a_streamed_response(client: httpx.AsyncClient) -> None:
    await streamed(client, input=[{**USER, "content": "Count from 1 to 5."}])


async def test_a_system_prompt(client: httpx.AsyncClient, engine: EngineServer) -> None:
    pirate = {"type": "message", "role": "system", "content": "You are a pirate."}
    await completed(client, input=[pirate, {**USER, "content": "Say hello."}])
    assert engine.asked[0]["messages"][0] == {"role": "system", "content": "You are a pirate."}


@pytest.fixture
def calls(engine: EngineServer) -> None:
    """Let the engine call the tool."""
    function = {"name": "get_weather", "arguments": '{"location":"San Francisco, CA"}'}
    made = {"index": 0, "id": "call_1", "type": "function", "function": function}
    engine.message = {"role": "assistant", "content": None, "tool_calls": [made]}
    engine.deltas, engine.finish_reason = [{"tool_calls": [made]}], "tool_calls"


async def test_a_call(client: httpx.AsyncClient, calls: None) -> None:
    question = [{**USER, "content": "What's the weather like in San Francisco?"}]
    response = await completed(client, input=question, tools=[WEATHER])
    assert [item["type"] for item in response["output"]] == ["function_call"]


async def test_a_streamed_call(client: httpx.AsyncClient, calls: None) -> None:
    question = [{**USER, "content": "What's the weather like in San Francisco?"}]
    events = await streamed(client, input=question, tools=[WEATHER])
    names = [event["type"] for event in events]
    for name in ("function_call_arguments.delta", "function_call_arguments.done"):
        assert f"response.{name}" in names
    for name in ("added", "done"):
        of_items = [e["item"]["type"] for e in events if e["type"].endswith(f"output_item.{name}")]
        assert of_items == ["function_call"]


async def test_an_image(client: httpx.AsyncClient, engine: EngineServer) -> None:
    content = [
        {"type": "input_text", "text": "What do you see in this image?"},
        {"type": "input_image", "image_url": RED},
    ]
    await completed(client, input=[{**USER, "content": content}])
    assert engine.asked[0]["messages"][0]["content"][1]["image_url"]["url"] == RED


async def test_a_conversation(client: httpx.AsyncClient) -> None:
    greeting = {"type": "message", "role": "assistant", "content": "Hello Alice! Nice to meet you."}
    first, last = {**USER, "content": "My name is Alice."}, {**USER, "content": "What is my name?"}
    await completed(client, input=[first, greeting, last])


async def test_streamed_thoughts_as_a_summary(
    client: httpx.AsyncClient, engine: EngineServer
) -> None:
    engine.deltas = [{"reasoning_content": "Hm."}, {"content": "5"}]
    question = [{**USER, "content": "2 + 3?"}]
    events = await streamed(client, input=question, reasoning={"summary": "auto"})
    assert events[-1]["response"]["output"][0]["type"] == "reasoning"
