"""Bodies that are on their way: so many bytes at once, and none of who is over the limit."""

import asyncio
import gzip
from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx
import orjson
import pytest
from pytest_django.fixtures import Settings

from inference.api.call import HEAVY
from inference.api.http import request
from inference.intake.context import Context
from inference.intake.limits import unadmitted_bodies
from inference.intake.limits.unadmitted_bodies import FREE, BodyBudget
from tenants.models import Tenant
from tests.inference.api.conftest import client_of, in_database

pytestmark = pytest.mark.django_db(transaction=True)
KILOBYTE = 1000
PIECE = 16 * KILOBYTE
COMPLETIONS = "/v1/chat/completions"


@pytest.fixture
def budget(monkeypatch: pytest.MonkeyPatch) -> BodyBudget:
    budget = BodyBudget(2_000 * KILOBYTE)
    monkeypatch.setattr(unadmitted_bodies, "budget", lambda: budget)
    return budget


@pytest.fixture
async def client(context: Context, acme: Tenant) -> AsyncIterator[httpx.AsyncClient]:
    async with await client_of(acme) as client:
        yield client


def chat(length: int, **fields: Any) -> bytes:
    messages = [{"role": "user", "content": "x" * length}]
    return orjson.dumps({"model": "small", "messages": messages, "max_tokens": 5, **fields})


class Slow:
    """A body whose last piece comes when it is told to."""

    def __init__(self, body: bytes) -> None:
        self.length = len(body)
        self._body, self.ends, self.sent = body, asyncio.Event(), 0

    async def __aiter__(self) -> AsyncIterator[bytes]:
        last = len(self._body) - PIECE
        for start in range(0, last, PIECE):
            piece = self._body[start : min(start + PIECE, last)]
            self.sent += len(piece)
            yield piece
        await self.ends.wait()
        yield self._body[last:]


async def post(client: httpx.AsyncClient, body: Slow) -> httpx.Response:
    """Its length is told beforehand."""
    headers = {"content-length": str(body.length)}
    return await client.post(COMPLETIONS, content=body, headers=headers)


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not holds():
            await asyncio.sleep(0.01)


async def test_unfinished_bodies_of_a_key_hold_its_share(
    client: httpx.AsyncClient, budget: BodyBudget, acme: Tenant
) -> None:
    slow = [Slow(chat(200 * KILOBYTE)) for _ in range(20)]
    asked = [asyncio.create_task(post(client, each)) for each in slow]
    await until(lambda: sum(task.done() for task in asked) >= 14)
    assert budget.total <= 1_000 * KILOBYTE  # as much as remains free
    refused = [await task for task in asked if task.done()]
    for answer in refused:
        assert answer.status_code == 503
        assert answer.json()["error"]["code"] == unadmitted_bodies.CODE
        assert answer.headers["retry-after"] == "1"
    assert (await client.post(COMPLETIONS, content=chat(FREE // 2))).status_code == 200
    for each in slow:
        each.ends.set()
    taken = [await task for task in asked if await task not in refused]
    assert {answer.status_code for answer in taken} == {200}
    assert budget.total == 0


async def test_a_third_key_gets_no_more_than_its_tenants_share(
    client: httpx.AsyncClient,
    budget: BodyBudget,
    acme: Tenant,
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A key may hold two bodies here, and a tenant four."""
    length = 200 * KILOBYTE
    monkeypatch.setattr(unadmitted_bodies, "MEBIBYTE", 1)
    monkeypatch.setattr(unadmitted_bodies, "counted", lambda _address: "")  # all have the same one
    settings.MAX_BODY_BYTES = length + KILOBYTE
    slow = [Slow(chat(length)) for _ in range(4)]
    async with await client_of(acme) as second, await client_of(acme) as third:
        pairs = zip([client, client, second, second], slow, strict=True)
        sending = [asyncio.create_task(post(key, body)) for key, body in pairs]
        await until(lambda: budget.total > 4 * (length - FREE - PIECE))
        refused = await third.post(COMPLETIONS, content=chat(length))
    assert refused.status_code == 429
    assert refused.json()["error"]["code"] == unadmitted_bodies.CODE
    assert "this tenant sends more than" in refused.json()["error"]["message"]
    for body in slow:
        body.ends.set()
    assert [(await task).status_code for task in sending] == [200] * 4


async def test_what_is_compressed_counts_as_it_is_unpacked(
    client: httpx.AsyncClient, budget: BodyBudget
) -> None:
    headers = {"content-encoding": "gzip"}
    packed = gzip.compress(chat(1_500 * KILOBYTE))
    assert len(packed) < FREE
    answer = await client.post(COMPLETIONS, content=packed, headers=headers)
    assert answer.status_code == 503
    assert answer.json()["error"]["code"] == unadmitted_bodies.CODE
    assert budget.total == 0


async def test_whatever_becomes_of_a_body_its_room_is_free_again(
    client: httpx.AsyncClient, budget: BodyBudget
) -> None:
    length = 300 * KILOBYTE
    assert (await client.post(COMPLETIONS, content=chat(length))).status_code == 200
    assert (await client.post(COMPLETIONS, content=chat(length, no=1))).status_code == 400
    assert (await client.post(COMPLETIONS, content=b"x" * length)).status_code == 400
    assert (await client.post("/v1/batches", content=b"x" * length)).status_code == 400
    assert (await client.post(COMPLETIONS, content=Slow(b"x" * 3_000_000))).status_code == 503
    gone = asyncio.create_task(client.post(COMPLETIONS, content=Slow(chat(length))))
    await until(lambda: budget.total > 200 * KILOBYTE)
    gone.cancel()
    await until(lambda: budget.total == 0)


async def test_what_cannot_fit_is_refused_before_it_is_parsed(
    client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its model has 100,000 tokens of context."""
    parsed = "inference.api.openai.views.requests.parsed"
    monkeypatch.setattr(parsed, lambda _: pytest.fail("it was parsed"))
    for path in (COMPLETIONS, "/openai/deployments/small/chat/completions"):
        answer = await client.post(path, content=chat(1_700 * KILOBYTE))
        assert answer.status_code == 400
        assert answer.json()["error"]["code"] == "context_length_exceeded"


# The limits come first ---------------------------------------------------------------------------
async def limited(tenant: Tenant, per_minute: int) -> None:
    await in_database(tenant.change)(by="test", requests_per_minute=per_minute, burst=per_minute)


@pytest.mark.parametrize("addresses", [0, 1000])
async def test_a_large_body_of_whoever_is_over_the_limit_is_not_read(
    client: httpx.AsyncClient, acme: Tenant, settings: Settings, addresses: int
) -> None:
    settings.ADDRESS_PER_MINUTE = addresses
    await limited(acme, 1)
    assert (await client.post(COMPLETIONS, content=chat(10))).status_code == 200
    body = Slow(chat(900 * KILOBYTE))
    answer = await client.post(COMPLETIONS, content=body)
    assert answer.status_code == 429
    assert answer.headers["x-ratelimit-remaining-requests"] == "0"
    assert "requests per minute are used up" in answer.json()["error"]["message"]
    assert body.sent <= HEAVY + 2 * PIECE


async def test_a_compressed_body_of_whoever_is_over_the_limit_is_not_unpacked(
    client: httpx.AsyncClient, acme: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    await limited(acme, 1)
    assert (await client.post(COMPLETIONS, content=chat(10))).status_code == 200
    monkeypatch.setattr(request, "unpacked", lambda *_: pytest.fail("it was unpacked"))
    packed, headers = gzip.compress(chat(900 * KILOBYTE)), {"content-encoding": "gzip"}
    answer = await client.post(COMPLETIONS, content=packed, headers=headers)
    assert answer.status_code == 429
    assert "requests per minute are used up" in answer.json()["error"]["message"]


@pytest.mark.parametrize("addresses", [0, 1000])
@pytest.mark.parametrize("length", [10, 900 * KILOBYTE])
async def test_bodies_that_are_refused_are_charged_once_each(
    client: httpx.AsyncClient, acme: Tenant, settings: Settings, addresses: int, length: int
) -> None:
    settings.ADDRESS_PER_MINUTE = addresses
    await limited(acme, 4)
    for _ in range(2):
        assert (await client.post(COMPLETIONS, content=chat(length, no=1))).status_code == 400
    for _ in range(2):
        assert (await client.post(COMPLETIONS, content=chat(length))).status_code == 200
    answer = await client.post(COMPLETIONS, content=chat(length))
    assert answer.status_code == 429
    assert answer.json()["error"]["code"] == "rate_limit_exceeded"
