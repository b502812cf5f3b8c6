"""What an upload keeps in memory counts among the bytes that no limit has let in yet."""

import asyncio
import tracemalloc
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from inference.api.openai import uploads
from inference.batch import file_store
from inference.intake.limits import unadmitted_bodies
from inference.intake.limits.unadmitted_bodies import FREE, BodyBudget
from tests.inference.batch.conftest import Shop
from tests.inference.batch.uploads import packed_form

FORM = {"content-type": "multipart/form-data; boundary=x"}
HEAD = '--x\r\ncontent-disposition: form-data; name="{}"; filename="f"\r\n\r\n'
PURPOSE = '--x\r\ncontent-disposition: form-data; name="purpose"\r\n\r\nbatch\r\n'
SENT = b"x" * 16_384


class Unfinished:
    """A form whose client falls silent after `count` pieces of its file, until it may end."""

    def __init__(self, count: int, field: str = "file") -> None:
        self._field, self._count = field, count
        self.may_end, self.is_silent = asyncio.Event(), asyncio.Event()

    async def __aiter__(self) -> AsyncIterator[bytes]:
        if self._field == "file":
            yield PURPOSE.encode()
        yield HEAD.format(self._field).encode()
        for _ in range(self._count):
            yield SENT
        self.is_silent.set()
        await self.may_end.wait()
        yield b"\r\n--x--\r\n"


@pytest.fixture
def budget(monkeypatch: pytest.MonkeyPatch) -> BodyBudget:
    """It has room for two uploads, as each may take what remains free at most."""
    budget = BodyBudget(3 * uploads.MEMORY)
    monkeypatch.setattr(unadmitted_bodies, "budget", lambda: budget)
    return budget


def post(shop: Shop, body: Unfinished, path: str = "/v1/files") -> "asyncio.Task[httpx.Response]":
    return asyncio.create_task(shop.client.post(path, content=body, headers=FORM))


async def upload_in_parts(shop: Shop) -> str:
    fields = {"bytes": 9, "filename": "f", "mime_type": "text/jsonl", "purpose": "batch"}
    id_: str = (await shop.client.post("/v1/uploads", json=fields)).json()["id"]
    return f"/v1/uploads/{id_}/parts"


async def silent(*bodies: Unfinished) -> None:
    async with asyncio.timeout(120):
        for body in bodies:
            await body.is_silent.wait()


@pytest.mark.parametrize("field", ["file", "data"])
async def test_unfinished_uploads_share_the_budget_of_bodies(
    shop: Shop, budget: BodyBudget, field: str
) -> None:
    path = "/v1/files" if field == "file" else await upload_in_parts(shop)
    bodies = [Unfinished(8, field), Unfinished(8, field)]
    sending = [post(shop, bodies[0], path)]
    await silent(bodies[0])
    assert budget.total == uploads.MEMORY - FREE
    sending.append(post(shop, bodies[1], path))
    refused = await post(shop, Unfinished(8, field), path)
    assert refused.status_code == 503
    assert refused.json()["error"]["code"] == unadmitted_bodies.CODE
    assert refused.headers["retry-after"] == "1"
    await ends(sending, bodies)
    assert budget.total == 0


async def ends(sending: list[Any], bodies: list[Unfinished]) -> None:
    await silent(bodies[0])
    for body in bodies:
        body.may_end.set()
    answers = [await task for task in sending]
    assert answers[0].status_code == 200, answers[0].text


async def test_an_upload_of_a_known_length_counts_no_more_than_that(
    shop: Shop, budget: BodyBudget
) -> None:
    budget.take((), 3 * uploads.MEMORY - FREE)
    assert (await shop.upload(b"{}")).status_code == 200
    assert (await shop.upload(b"x" * 4 * FREE)).status_code == 503
    packed, headers = packed_form(b"{}" * 1000)
    refused = await shop.client.post("/v1/files", content=packed, headers=headers)
    assert refused.status_code == 503  # nobody knows how long it is
    assert budget.total == 3 * uploads.MEMORY - FREE


async def test_an_upload_whose_client_has_gone_counts_no_longer(
    shop: Shop, budget: BodyBudget
) -> None:
    body = Unfinished(8)
    sending = post(shop, body)
    await silent(body)
    sending.cancel()
    async with asyncio.timeout(20):
        while budget.total:
            await asyncio.sleep(0.01)


async def test_unfinished_uploads_take_no_more_memory_than_is_counted(shop: Shop) -> None:
    """Each has sent a piece that is stored, and almost another one."""
    count = 2 * file_store.PIECE // len(SENT) - 1
    bodies = [Unfinished(count) for _ in range(uploads.OF_A_TENANT)]
    await shop.upload(b"{}")  # the first one fills caches
    counted = unadmitted_bodies.budget()
    tracemalloc.start()
    try:
        sending = [post(shop, body) for body in bodies]
        await silent(*bodies)
        assert tracemalloc.get_traced_memory()[0] < counted.total
    finally:
        tracemalloc.stop()
    await ends(sending, bodies)
    assert counted.total == 0
