"""Who is local-only: no byte of what they ask leaves, whatever fails here.

FOREBAY_TEST_LOCAL_REQUESTS says how many ask, of each kind (`make soak`: 10,000).
"""

import asyncio
import os
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
from inference.worker.handlers import patient_asking as asking_module
from inference.worker.runner import Runner
from tenants.models import ApiKey, Tenant
from tests.inference.web import served, serving

in_database = database_sync_to_async
AWAY = {"kind": "openai", "url": "http://127.0.0.1:9/v1", "context_length": 4096}
LOCAL = {"x-forebay-residency": "local"}
MANY = int(os.environ.get("FOREBAY_TEST_LOCAL_REQUESTS", "60"))
AT_ONCE = 60
WORDS = {
    "request": "x-forebay-residency is `local`",
    "key": "its API key is local-only",
    "tenant": "its tenant is local-only",
}


class Sink:
    """Somebody else's machine. It counts what requests bring it; questions without one are free."""

    def __init__(self) -> None:
        self.bytes = 0

    async def take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked = False
        while piece := await reader.read(65536):
            asked = asked or piece.startswith(b"POST")
            self.bytes += len(piece) if asked else 0
            status = b"500 No" if asked else b"200 OK"  # it is there, and would be asked
            writer.write(b"HTTP/1.1 %b\r\ncontent-length: 2\r\n\r\n{}" % status)
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
    monkeypatch.setattr(asking_module, "ELSEWHERE_AFTER_S", 0.05)
    monkeypatch.setattr(asking_module, "ENGINE_PATIENCE_S", 0.1)
    monkeypatch.setattr(runner, "LINGER_S", 3600)  # while breakers are open, nothing comes
    hosted = {**AWAY, "url": sink[1], "hosted": True}
    near, far = f"{pool}-near", f"{pool}-far"
    settings.ENGINES = {"hybrid": {"pools": {near: AWAY, far: hosted}}, "api": hosted}
    settings.ADDRESS_PER_MINUTE = 0
    engines.forget()
    await in_database(acme.change)(by="test", requests_per_minute=0, max_concurrency=0)
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


@pytest.fixture(params=WORDS)
async def bound(request: pytest.FixtureRequest, acme: Tenant) -> str:
    """By whom the tenant's requests are: their own header, its key or itself."""
    if request.param == "key":
        key = await in_database(ApiKey.objects.get)()
        await in_database(key.change)(by="test", local_only=True)
    if request.param == "tenant":
        await in_database(acme.change)(by="test", local_only=True)
    return str(request.param)


def headers(bound: str) -> dict[str, str]:
    return LOCAL if bound == "request" else {}


@pytest.mark.timeout(60 + MANY // 5)
async def test_nothing_leaves_while_everything_here_fails(
    asking: httpx.AsyncClient, sink: tuple[Sink, str], bound: str
) -> None:
    said = 0
    for begin in range(0, MANY, AT_ONCE):
        numbers = range(begin, min(begin + AT_ONCE, MANY))
        asked = (ask(asking, headers=headers(bound), stream=bool(n % 2)) for n in numbers)
        for answer in await asyncio.gather(*asked):
            assert answer.status_code == 503
            message = answer.json()["error"]["message"]
            said += "may not leave" in message and WORDS[bound] in message
    assert said >= MANY - MANY // 100  # over minutes, a busy machine has other reasons as well
    assert sink[0].bytes == 0
    print(f"\n{MANY} requests bound by their {bound}: {sink[0].bytes} bytes left")
    assert {usage.pool.rpartition("-")[2] for usage in await usages()} == {"near"}


async def test_what_nobody_binds_leaves_and_is_counted(
    asking: httpx.AsyncClient, sink: tuple[Sink, str]
) -> None:
    free = await ask(asking, headers={})
    assert free.status_code == 502
    assert sink[0].bytes > 0


@in_database
def usages() -> list[Usage]:
    return list(Usage.objects.all())


async def test_a_model_of_hosted_engines_alone_is_refused_in_words(
    asking: httpx.AsyncClient, sink: tuple[Sink, str], bound: str
) -> None:
    answer = await ask(asking, model="api", headers=headers(bound))
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "no_local_engine")
    message = answer.json()["error"]["message"]
    assert "would have to leave" in message
    assert WORDS[bound] in message
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
