"""Requests of the Messages API, as the tests send them."""

from typing import Any

HI: list[dict[str, Any]] = [{"role": "user", "content": "Say hi."}]
ASK = {"model": "small", "max_tokens": 64, "messages": HI}
VERSION = {"anthropic-version": "2023-06-01"}
WEATHER = {
    "name": "get_weather",
    "description": "The weather in a city.",
    "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}},
}


def text(words: str) -> dict[str, Any]:
    return {"type": "text", "text": words}


def call(identity: str = "toolu_1", **arguments: Any) -> dict[str, Any]:
    return {"type": "tool_use", "id": identity, "name": "get_weather", "input": arguments}


def result(content: Any = "22 degrees", identity: str = "toolu_1", **more: Any) -> dict[str, Any]:
    return {"type": "tool_result", "tool_use_id": identity, "content": content, **more}


def turns(*contents: Any) -> list[dict[str, Any]]:
    """Returns messages of the user and the assistant in turns."""
    roles = ("user", "assistant")
    return [{"role": roles[n % 2], "content": each} for n, each in enumerate(contents)]
