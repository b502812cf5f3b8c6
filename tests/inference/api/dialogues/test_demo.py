"""`forebay demo service` on a running platform: from nothing to an assistant that answers."""

import asyncio
from typing import Any

import httpx
import pytest
from channels.db import database_sync_to_async
from django.db import connections

from config.demo import customer_service, furnishing
from config.demo.customer_service import NAME, ServiceDemo
from config.demo.furnishing import Page
from config.demo.http_api import Unready
from inference.api.assistants import driver as assistants
from inference.api.knowledge import driver as knowledge
from inference.models import Assistant, AssistantVersion, Dialogue, Document
from inference.registry import following
from tenants.models import ApiKey, Tenant
from tests.inference.engine_server import EngineServer
from tests.inference.knowledge.conftest import answer_to

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.timeout(300)]
in_database = database_sync_to_async
PAGES = {
    "api/webhooks.md": "# Webhooks\n\n## Signature\n\nA webhook is signed with HMAC-SHA256.",
    "scenarios/knowledge.md": "# Knowledge\n\n## Vectors\n\nA vector tells much about a text.",
}


class ThroughClient:
    """Asks the inference API of the tests' own process."""

    url = "http://forebay.test"

    def __init__(self, client: httpx.AsyncClient, loop: asyncio.AbstractEventLoop) -> None:
        self._client, self._loop = client, loop

    def post(self, path: str, key: str, body: dict[str, Any]) -> dict[str, Any]:
        headers = {"Authorization": f"Bearer {key}"}
        asking = self._client.post(path, json=body, headers=headers)
        answer = asyncio.run_coroutine_threadsafe(asking, self._loop).result(60)
        assert answer.status_code == 200, answer.text
        fields: dict[str, Any] = answer.json()
        return fields


def _run(client: httpx.AsyncClient, loop: asyncio.AbstractEventLoop, lines: list[str]) -> None:
    try:
        shown = ServiceDemo.of("acme", "small", ThroughClient(client, loop))
        shown.tell = lines.append
        shown.run()
    finally:
        connections.close_all()


def _drive() -> None:
    try:
        knowledge.drive()
        assistants.build_due()
    finally:
        connections.close_all()


async def shown(client: httpx.AsyncClient) -> list[str]:
    """Returns what a run of the demo tells."""
    loop, lines = asyncio.get_running_loop(), list[str]()
    running = loop.run_in_executor(None, _run, client, loop, lines)
    while not running.done():
        await loop.run_in_executor(None, _drive)
        await asyncio.sleep(0.05)
    await running
    return lines


@pytest.mark.soak
async def test_it_makes_an_assistant_that_answers_and_changes_nothing_a_second_time(
    client: httpx.AsyncClient, engine: EngineServer, acme: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(furnishing, "LOOK_EVERY_S", 0.1)
    monkeypatch.setattr(following, "load_once", lambda: None)
    pages = {name: Page(text.encode(), f"https://d.test/{name}") for name, text in PAGES.items()}
    monkeypatch.setattr(customer_service, "own_pages", lambda: pages)
    engine.beside = lambda body: answer_to(body) if "input" in body else None
    first = await shown(client)
    assistant = await in_database(Assistant.objects.get)(tenant=acme, name=NAME)
    assert assistant.live == 1
    assert "signed with HMAC-SHA256" in "\n".join(first)
    assert '"assistant": "demo-service"' in first[-1]
    second = await shown(client)
    assert any("answers already: version 1" in line for line in second)
    assert await in_database(AssistantVersion.objects.count)() == 1
    assert await in_database(Document.objects.present().count)() == len(PAGES)
    assert await in_database(Dialogue.objects.count)() == 2 * len(customer_service.QUESTIONS)
    assert not await in_database(ApiKey.objects.live().filter(name=NAME).exists)()


async def test_a_tenant_that_is_not_there_is_said(engine: EngineServer) -> None:
    with pytest.raises(Unready, match="there is no tenant nobody"):
        await in_database(ServiceDemo.of)("nobody", None, ThroughClient(None, None))  # type: ignore[arg-type]
