"""Responses that the tests create, and what is on record of them."""

from typing import Any
from uuid import UUID

import httpx
import orjson
from channels.db import database_sync_to_async

from inference.models import Completion, StoredResponse, Usage
from tests.inference.running import until

in_database = database_sync_to_async
PATH = "/v1/responses"
Json = dict[str, Any]


async def create(client: httpx.AsyncClient, **fields: Any) -> Json:
    reply = await send(client, **fields)
    assert reply.status_code == 200, reply.text
    response: Json = reply.json()
    return response


async def send(client: httpx.AsyncClient, **fields: Any) -> httpx.Response:
    return await client.post(PATH, json={"model": "small", "input": "Say hi.", **fields})


async def get(client: httpx.AsyncClient, response: Json | str, **query: Any) -> httpx.Response:
    return await client.get(f"{PATH}/{_id(response)}", params=query)


async def delete(client: httpx.AsyncClient, response: Json | str) -> httpx.Response:
    return await client.delete(f"{PATH}/{_id(response)}")


async def cancel(client: httpx.AsyncClient, response: Json | str) -> httpx.Response:
    return await client.post(f"{PATH}/{_id(response)}/cancel")


async def items(client: httpx.AsyncClient, response: Json | str, **query: Any) -> httpx.Response:
    return await client.get(f"{PATH}/{_id(response)}/input_items", params=query)


def _id(response: Json | str) -> str:
    return response if isinstance(response, str) else response["id"]


async def ended(client: httpx.AsyncClient, response: Json) -> Json:
    """Returns the response once it runs no more, as a client that polls gets it."""

    async def is_over() -> Json | None:
        polled: Json = (await get(client, response)).json()
        return None if polled["status"] in ("queued", "in_progress") else polled

    over: Json = await until(is_over)
    return over


def text(response: Json) -> str:
    parts = [part for item in response["output"] for part in item.get("content", ())]
    return "".join(part["text"] for part in parts)


def completion_of(response: Json) -> UUID:
    return UUID(response["id"].removeprefix("resp_"))


@in_database
def state(response: Json) -> str:
    return Completion.objects.get(pk=completion_of(response)).state


@in_database
def bills(response: Json) -> int:
    return Usage.objects.filter(pk=completion_of(response)).count()


@in_database
def stored_rows() -> int:
    return StoredResponse.objects.count()


def events(reply: httpx.Response) -> list[Json]:
    """Returns the events of a stream, which ends with [DONE]."""
    assert reply.status_code == 200, reply.text
    data = [line[6:] for line in reply.text.split("\n") if line.startswith("data: ")]
    assert data.pop() == "[DONE]", reply.text
    return [orjson.loads(each) for each in data]
