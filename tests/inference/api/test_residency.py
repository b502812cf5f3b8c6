"""`x-forebay-residency: local`: no byte of a request leaves, whatever fails here."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from channels.db import database_sync_to_async
from pytest_django.fixtures import Settings

from inference import engines
from inference.engines import pools
from inference.models import Usage
from inference.worker import runner
from inference.worker.handlers import generation
from inference.worker.runner import Runner
from tenants.models import ApiKey, Tenant
from tests.inference.web import served, serving

in_database = database_sync_to_async
AWAY = {"kind": "openai", "url": "http://127.0.0.1:9/v1", "context_length": 4096}
LOCAL = {"x-forebay-residency": "local"}
MANY = 60


class Sink:
    """Somebody else's machine. It counts what requests bring it; questions without one are free."""

    def __init__(self) -> None:
        self.bytes = 0

    async def take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked = False
        while piece := await reader.read(65536):
            asked = asked or piece.startswith(b"POST")
            self.bytes += len(piece) if asked else 0
            writer.write(b"HTTP/1.1 500 No\r\ncontent-length: 2\r\n\r\n{}")
        writer.close()


@pytest.fixture
async def sink() -> AsyncIterator[tuple[Sink, str]]:
    sink = Sink()
    server = await asyncio.start_server(sink.take, "127.0.0.1", 0)
    async with server:
        yield sink, f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"


@pytest.fixture
async def asking(
    quick: None,
    pool: str,
    acme: Tenant,
    sink: tuple[Sink, str],
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
) -> AsyncIterator[httpx.AsyncClient]:
    """A tenant's client. `hybrid` has an engine here, which is away, and a hosted one."""
    monkeypatch.setattr(generation, "ELSEWHERE_AFTER_S", 0.05)
    monkeypatch.setattr(generation, "ENGINE_PATIENCE_S", 0.1)
    monkeypatch.setattr(runner, "LINGER_S", 30)
    hosted = {**AWAY, "url": sink[1], "hosted": True}
    near, far = f"{pool}-near", f"{pool}-far"
    settings.ENGINES = {"hybrid": {"pools": {near: AWAY, far: hosted}}, "api": hosted}
    settings.IP_PER_MINUTE = 0
    engines.forget()
    _, text = await in_database(ApiKey.issue)(acme, "ci", by="test")
    runners = [Runner(name, pools()[name].engines[0]) for name in (near, far)]
    drains = [asyncio.create_task(each.drain()) for each in runners]
    headers = {"Authorization": f"Bearer {text}"}
    transport = httpx.ASGITransport(served, client=("198.51.100.7", 5000))
    async with (
        serving(),
        httpx.AsyncClient(
            transport=transport, base_url="http://forebay", headers=headers, timeout=60
        ) as client,
    ):
        yield client
    for each in runners:
        each.stop()
    await asyncio.gather(*drains)
    engines.forget()


async def ask(
    asking: httpx.AsyncClient, path: str = "/v1/chat/completions", **more: Any
) -> httpx.Response:
    headers = more.pop("headers", LOCAL)
    body = {"model": "hybrid", "messages": [{"role": "user", "content": "hi"}], **more}
    return await asking.post(path, json=body, headers=headers)


async def test_nothing_leaves_while_everything_here_fails(
    asking: httpx.AsyncClient, sink: tuple[Sink, str]
) -> None:
    answers = await asyncio.gather(*(ask(asking, stream=bool(n % 2)) for n in range(MANY)))
    assert {answer.status_code for answer in answers} == {503}
    assert all("may not leave" in answer.json()["error"]["message"] for answer in answers)
    assert sink[0].bytes == 0
    assert {usage.pool.rpartition("-")[2] for usage in await usages()} == {"near"}

    free = await ask(asking, headers={})  # without the header it leaves: the sink does count
    assert free.status_code == 502
    assert sink[0].bytes > 0


@in_database
def usages() -> list[Usage]:
    return list(Usage.objects.all())


async def test_a_model_of_hosted_engines_alone_is_refused_in_words(
    asking: httpx.AsyncClient, sink: tuple[Sink, str]
) -> None:
    answer = await ask(asking, model="api")
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "no_local_engine")
    assert "would have to leave" in answer.json()["error"]["message"]
    assert answer.headers["x-should-retry"] == "false"
    assert sink[0].bytes == 0
    assert not await usages()


async def test_another_word_is_a_mistake(asking: httpx.AsyncClient) -> None:
    for word in ("europe", ""):
        answer = await ask(asking, headers={"x-forebay-residency": word})
        assert answer.status_code == 400
        assert answer.json()["error"]["param"] == "x-forebay-residency"


async def test_a_plain_call_takes_the_first_model_that_stays(
    asking: httpx.AsyncClient, sink: tuple[Sink, str]
) -> None:
    answer = await asking.post("/v1/inference", json={"prompt": "hi"}, headers=LOCAL)
    assert "may not leave" in answer.json()["error"]["message"]
    assert sink[0].bytes == 0
