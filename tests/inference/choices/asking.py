"""Requests with several choices, and what came of them."""

from collections import defaultdict
from typing import Any

import httpx
import orjson

CHAT, TEXT = "/v1/chat/completions", "/v1/completions"
HI = [{"role": "user", "content": "hi"}]


async def chat(client: httpx.AsyncClient, n: int = 3, **fields: Any) -> httpx.Response:
    headers = fields.pop("headers", {})
    body = {"model": "small", "messages": HI, "max_tokens": 20, "n": n, **fields}
    return await client.post(CHAT, json=body, headers=headers)


async def text(client: httpx.AsyncClient, prompt: Any, **fields: Any) -> httpx.Response:
    return await client.post(TEXT, json={"model": "small", "prompt": prompt, **fields})


def texts(answer: httpx.Response) -> list[str]:
    """Returns the texts of a whole answer or a stream, in the order of their numbers."""
    assert answer.status_code == 200, answer.text
    if "event-stream" in answer.headers["content-type"]:
        return streamed_texts(chunks(answer.text))
    choices = answer.json()["choices"]
    assert [choice["index"] for choice in choices] == list(range(len(choices)))
    return [_text(choice, "message") for choice in choices]


def chunks(stream: str) -> list[dict[str, Any]]:
    lines = stream.splitlines()
    return [orjson.loads(line[6:]) for line in lines if line.startswith("data: {")]


def streamed_texts(events: list[dict[str, Any]]) -> list[str]:
    texts, finished = defaultdict[int, str](str), list[int]()
    for choice in (choice for event in events for choice in event["choices"]):
        texts[choice["index"]] += _text(choice, "delta")
        if choice["finish_reason"]:
            finished.append(choice["index"])
    assert sorted(finished) == sorted(texts), "each choice finishes once"
    return [texts[number] for number in sorted(texts)]


def _text(choice: dict[str, Any], part: str) -> str:
    return str(choice["text"] if "text" in choice else choice[part].get("content") or "")
