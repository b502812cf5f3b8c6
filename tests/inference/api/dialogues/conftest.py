"""acme has an assistant, and a program with an API key."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import uuid4

import httpx
import pytest

from inference.dialogues import receiving, stepping
from inference.intake.context import Context
from tenants.models import ApiKey, Tenant
from tests.inference.api.conftest import client_of, in_database
from tests.inference.api.dialogues import helpdesk
from tests.inference.engine_server import EngineServer


@dataclass
class Helpdesk:
    """A program that talks for a customer."""

    client: httpx.AsyncClient
    tenant: Tenant
    key: ApiKey

    async def begin(self, **fields: Any) -> dict[str, Any]:
        body = {"assistant": "shop", "person": "customer 1", **fields}
        answer = await self.client.post("/v1/dialogues", json=body)
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    async def send(self, dialogue: str, text: str, **fields: Any) -> httpx.Response:
        body = {"text": text, "id": str(uuid4()), **fields}
        return await self.client.post(f"/v1/dialogues/{dialogue}/messages", json=body)

    async def answer_to(self, dialogue: str, text: str) -> dict[str, Any]:
        answer = await self.send(dialogue, text)
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    async def rotate(self) -> None:
        """Put another key in the place of the key, which ends at once."""
        _key, text = await in_database(self.key.rotate)(by="test", overlap=timedelta(0))
        while (await self.client.get("/v1/models")).status_code != 401:
            await asyncio.sleep(0.02)
        self.client.headers["authorization"] = f"Bearer {text}"

    async def messages(self, dialogue: str) -> list[dict[str, Any]]:
        answer = await self.client.get(f"/v1/dialogues/{dialogue}/messages")
        assert answer.status_code == 200, answer.text
        return list(answer.json()["data"])


@pytest.fixture
async def desk(
    context: Context, engine: EngineServer, acme: Tenant, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Helpdesk]:
    monkeypatch.setattr(receiving, "DEADLINE", timedelta(minutes=10))  # on a busy machine
    monkeypatch.setattr(stepping, "EMBED_S", 300.0)
    engine.beside = helpdesk.embedded
    async with await client_of(acme) as client:
        key = await in_database(ApiKey.objects.get)(tenant=acme)
        await in_database(helpdesk.serve)(acme, key)
        yield Helpdesk(client, acme, key)
