"""Requests of the Responses API, as the tests send them, and what they read."""

from typing import Any

import orjson

ASK: dict[str, Any] = {"model": "small", "input": "Say hi."}
HI = {"role": "user", "content": "Say hi."}
WEATHER: dict[str, Any] = {
    "type": "function",
    "name": "get_weather",
    "description": "The weather in a city.",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
    "strict": False,
}
PATCH: dict[str, Any] = {"type": "custom", "name": "apply_patch", "description": "Edits files."}


def call(identity: str = "call_1", arguments: str = '{"city":"Paris"}', **more: Any) -> Any:
    own = {"call_id": identity, "name": "get_weather", "arguments": arguments}
    return {"type": "function_call", **own, **more}


def result(output: Any = "22 degrees", identity: str = "call_1") -> dict[str, Any]:
    return {"type": "function_call_output", "call_id": identity, "output": output}


def text_item(role: str, *texts: str) -> dict[str, Any]:
    kind = "output_text" if role == "assistant" else "input_text"
    parts = [{"type": kind, "text": text} for text in texts]
    return {"type": "message", "role": role, "content": parts}


def thought(text: str = "Hm.", **more: Any) -> dict[str, Any]:
    content = [{"type": "reasoning_text", "text": text}]
    return {"type": "reasoning", "id": "rs_1", "summary": [], "content": content, **more}


def read(text: bytes) -> list[tuple[int | None, dict[str, Any]]]:
    """Returns the events with their ids; each is named as its type, and [DONE] ends them."""
    events = list[tuple[int | None, dict[str, Any]]]()
    for event in text.split(b"\n\n")[:-1]:
        lines = dict(line.split(b": ", 1) for line in event.split(b"\n") if line[:1] != b":")
        if lines[b"data"] == b"[DONE]":
            continue
        data = orjson.loads(lines[b"data"])
        assert data["type"].encode() == lines[b"event"]
        events.append((int(lines[b"id"]) if b"id" in lines else None, data))
    return events
