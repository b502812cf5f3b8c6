"""Bodies that are costly to read, of one tenant without limits: others are served meanwhile."""

import asyncio
import gzip
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import pytest

from bench.servers.forebay import UNLIMITED
from tests.e2e.conftest import Platform
from tests.e2e.test_limits import new_key

pytestmark = [pytest.mark.e2e, pytest.mark.slow(seconds=30)]
SENDERS, ANSWERS = 8, 20
LARGEST = 4 * 1024 * 1024  # bytes of a body, as shipped
COMPLETIONS = "/v1/chat/completions"


def filled(unit: bytes) -> bytes:
    """Returns a body of nearly LARGEST bytes. Without a bound it takes a second to read."""
    return b'{"model":"mock","messages":[%b0]}' % (unit * ((LARGEST - 99) // len(unit)))


HOSTILE = [filled(unit) for unit in (b"[],", b"{},", b'"a",', b"0,")]
PACKED = [gzip.compress(body) for body in HOSTILE]


@asynccontextmanager
async def clients(platform: Platform, key: str) -> AsyncIterator[httpx.AsyncClient]:
    headers = {"Authorization": f"Bearer {key}"}
    async with httpx.AsyncClient(base_url=platform.url, headers=headers, timeout=120) as client:
        yield client


async def send(client: httpx.AsyncClient, over: asyncio.Event, statuses: "Counter[int]") -> None:
    """Send one after the other until it is over."""
    while not over.is_set():
        for whole, packed in zip(HOSTILE, PACKED, strict=True):
            zipped = {"content-encoding": "gzip"}
            for body, headers in ((whole, {}), (packed, zipped)):
                answer = await client.post(COMPLETIONS, content=body, headers=headers)
                statuses[answer.status_code] += 1


async def test_costly_bodies_of_one_tenant_keep_no_other_tenant_waiting(staged: Platform) -> None:
    over, statuses, times = asyncio.Event(), Counter[int](), list[float]()
    messages = [{"role": "user", "content": "hi"}]
    async with (
        clients(staged, new_key(staged, *UNLIMITED)) as hostile,
        clients(staged, staged.key) as other,
    ):
        sending = [asyncio.create_task(send(hostile, over, statuses)) for _ in range(SENDERS)]
        while len(times) < ANSWERS or sum(statuses.values()) < SENDERS:
            began = time.monotonic()
            body = {"model": "mock", "messages": messages, "max_tokens": 5}
            answer = await other.post(COMPLETIONS, json=body)
            assert answer.status_code == 200, answer.text
            times.append(time.monotonic() - began)
        over.set()
        await asyncio.gather(*sending)
    assert statuses.keys() <= {400, 429, 503}, statuses
    assert statuses[400] > 0, "some are read far enough to be refused for what they are"
    assert sorted(times)[len(times) // 2] < 2, times
