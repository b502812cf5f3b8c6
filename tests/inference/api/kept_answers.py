"""Requests whose answers are kept, and what became of them."""

from typing import Any

import httpx
from channels.db import database_sync_to_async

from inference.codec import events
from inference.models import Usage

in_database = database_sync_to_async
CHAT = "/v1/chat/completions"
USE, NO_STORE, NO_CACHE, ONLY = (
    {"x-forebay-cache": word} for word in ("use", "no-store", "no-cache", "only")
)


async def ask(
    client: httpx.AsyncClient, headers: dict[str, str] = USE, text: str = "hi", **more: Any
) -> httpx.Response:
    body = {"model": "small", "temperature": 0, **more}
    body.setdefault("messages", [{"role": "user", "content": text}])
    return await client.post(CHAT, json=body, headers=headers)


def said(answer: httpx.Response) -> str:
    assert answer.status_code == 200, answer.text
    if "event-stream" in answer.headers["content-type"]:
        pieces = answer.text.split("\n\n")
        data = (
            line for piece in pieces for line in piece.split("\n") if line.startswith("data: {")
        )
        return "".join(events.text_in(line.encode()) for line in data)
    return str(answer.json()["choices"][0]["message"]["content"])


def is_hit(answer: httpx.Response) -> bool | None:
    return {"hit": True, "miss": False}.get(answer.headers.get("x-forebay-cache", ""))


async def usages() -> list[Usage]:
    return await in_database(lambda: list(Usage.objects.order_by("created_at")))()
