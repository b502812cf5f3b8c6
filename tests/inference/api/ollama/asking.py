"""Requests of Ollama's API, as the tests send them."""

from typing import Any

import httpx
import orjson

HI: list[dict[str, Any]] = [{"role": "user", "content": "Say hi."}]
ASK = {"model": "small", "messages": HI}
PROMPT = {"model": "small", "prompt": "Say hi."}
WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The weather in a city.",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
    },
}


def call(name: str = "get_weather", **arguments: Any) -> dict[str, Any]:
    return {"function": {"name": name, "arguments": arguments}}


def lines(answer: httpx.Response) -> list[dict[str, Any]]:
    """Returns the lines of a streamed answer."""
    assert answer.headers["content-type"] == "application/x-ndjson", answer.text
    return [orjson.loads(line) for line in answer.text.splitlines()]


def text_of(line: dict[str, Any]) -> str:
    """Returns the text of a line of a chat or a prompt."""
    text = line["message"]["content"] if "message" in line else line["response"]
    assert isinstance(text, str)
    return text
