"""OpenAI's own SDK for Python, unchanged: what it does with stored responses."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import httpx2
import openai
import pytest
from channels.db import database_sync_to_async
from openai import AsyncOpenAI

from inference.intake.context import Context
from tenants.models import ApiKey, Tenant
from tests.inference.engine_server import EngineServer
from tests.inference.web import served

in_database = database_sync_to_async
ASK: Any = {"model": "small", "input": "Say hi."}


@pytest.fixture
async def sdk(context: Context, acme: Tenant) -> AsyncIterator[AsyncOpenAI]:
    _, key = await in_database(ApiKey.issue)(acme, "sdk", by="test")
    transport = httpx2.ASGITransport(served, client=("198.51.100.8", 5000))
    http = httpx2.AsyncClient(transport=transport)
    async with AsyncOpenAI(
        base_url="http://forebay/v1", api_key=key, http_client=http, max_retries=0
    ) as client:
        yield client


async def test_retrieve_and_delete(sdk: AsyncOpenAI) -> None:
    created = await sdk.responses.create(**ASK)
    again = await sdk.responses.retrieve(created.id, include=["reasoning.encrypted_content"])
    assert (again.output_text, again.status) == ("One two three", "completed")
    assert again.usage
    assert again.usage.total_tokens == 10
    for _ in range(2):
        await sdk.responses.delete(created.id)
    with pytest.raises(openai.NotFoundError):
        await sdk.responses.retrieve(created.id)


async def test_input_items(sdk: AsyncOpenAI) -> None:
    first = await sdk.responses.create(**ASK)
    second = await sdk.responses.create(**ASK, previous_response_id=first.id)
    page = sdk.responses.input_items.list(second.id, limit=1, order="asc")
    assert [item.role async for item in page] == ["user", "assistant", "user"]  # type: ignore[union-attr]


async def test_in_the_background(sdk: AsyncOpenAI, engine: EngineServer) -> None:
    engine.goes_on.clear()
    response = await sdk.responses.create(**ASK, background=True)
    assert response.status == "queued"
    engine.goes_on.set()
    while response.status in {"queued", "in_progress"}:
        await asyncio.sleep(0.05)
        response = await sdk.responses.retrieve(response.id)
    assert response.output_text == "One two three"


async def test_cancel(sdk: AsyncOpenAI, engine: EngineServer) -> None:
    engine.goes_on.clear()
    response = await sdk.responses.create(**ASK, background=True)
    cancelled = await sdk.responses.cancel(response.id)
    engine.goes_on.set()
    assert cancelled.status == "cancelled"
    with pytest.raises(openai.BadRequestError):
        await sdk.responses.cancel((await sdk.responses.create(**ASK)).id)


async def test_a_stream_again(sdk: AsyncOpenAI) -> None:
    stream = await sdk.responses.create(**ASK, background=True, stream=True)
    sent = [event async for event in stream]
    final = sent[-1]
    assert final.type == "response.completed"
    again = await sdk.responses.retrieve(final.response.id, stream=True, starting_after=2)
    rest = [event async for event in again]
    assert [event.sequence_number for event in rest] == [
        event.sequence_number for event in sent[3:]
    ]
    assert rest[-1].type == "response.completed"
    assert rest[-1].response.output_text == "One two three"
