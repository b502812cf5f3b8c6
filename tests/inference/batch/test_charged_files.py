"""Files and batches count at the limits of their address, key and tenant, like requests."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from channels.db import database_sync_to_async
from pytest_django.fixtures import Settings

from inference.api.openai import upload_slots, uploads
from inference.api.openai.upload_slots import UploadPlaces
from inference.api.threads import Threads
from inference.batch import file_store
from inference.models import File
from tenants.models import Tenant
from tenants.rate_limits.admission import MEGABYTE
from tests.inference.batch.conftest import CHAT, Shop, jsonl, line
from tests.inference.batch.uploads import packed_form

in_database = database_sync_to_async
NOWHERE = "0" * 32
FORM = {"content-type": "multipart/form-data; boundary=x"}
FIRST = b'--x\r\ncontent-disposition: form-data; name="file"; filename="f"\r\n\r\n'


async def limited(tenant: Tenant, **limits: int) -> None:
    await in_database(tenant.change)(by="test", **limits)


async def asked(shop: Shop, what: str) -> httpx.Response:
    """Each of the calls that store or begin something, most of them about what is not there."""
    match what:
        case "a file":
            return await shop.upload(b"{}")
        case "an upload in parts":
            told = {"bytes": 9, "filename": "f", "mime_type": "text/jsonl", "purpose": "batch"}
            return await shop.client.post("/v1/uploads", json=told)
        case "a part":
            files = {"data": ("f", b"{}")}
            return await shop.client.post(f"/v1/uploads/upload_{NOWHERE}/parts", files=files)
        case "a file from parts":
            told = {"part_ids": ["part_1"]}
            return await shop.client.post(f"/v1/uploads/upload_{NOWHERE}/complete", json=told)
        case _:
            told = {
                "input_file_id": f"file-{NOWHERE}",
                "endpoint": CHAT,
                "completion_window": "24h",
            }
            return await shop.client.post("/v1/batches", json=told)


@pytest.mark.parametrize("addresses", [0, 1000])
@pytest.mark.parametrize(
    "what", ["a file", "an upload in parts", "a part", "a file from parts", "a batch"]
)
async def test_each_counts_as_one_request(
    shop: Shop, acme: Tenant, settings: Settings, what: str, addresses: int
) -> None:
    settings.ADDRESS_PER_MINUTE = addresses
    await limited(acme, requests_per_minute=3, burst=3)
    for _ in range(3):
        assert (await asked(shop, what)).status_code in (200, 404)
    answer = await asked(shop, what)
    assert answer.status_code == 429
    assert "requests per minute are used up" in answer.json()["error"]["message"]
    assert int(answer.headers["retry-after"]) >= 1
    assert answer.headers["x-refusal-id"]


async def test_reading_what_is_there_counts_for_no_limit_of_the_tenant(
    shop: Shop, acme: Tenant
) -> None:
    await limited(acme, requests_per_minute=1, burst=1)
    file = (await shop.upload(b"{}")).json()
    for _ in range(5):
        assert (await shop.client.get(f"/v1/files/{file['id']}")).status_code == 200
        assert (await shop.client.get("/v1/batches")).status_code == 200


async def test_a_file_is_charged_the_bytes_that_it_stores(
    shop: Shop, acme: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However few they were on their way, and as they are stored: not once all of it is there."""
    monkeypatch.setattr(file_store, "PIECE", 100_000)
    await limited(acme, megabytes_per_day=1, requests_per_minute=5, burst=5)
    body, headers = packed_form(b"x" * 10 * MEGABYTE)
    assert len(body) < 30_000
    answer = await shop.client.post("/v1/files", content=body, headers=headers)
    assert answer.status_code == 429
    assert "bytes stored per day" in answer.json()["error"]["message"]
    assert not await in_database(File.objects.exists)()
    chat = {"model": "mock", "messages": [{"role": "user", "content": "x"}], "max_tokens": 8}
    refused = await shop.client.post(CHAT, json={**chat, "user": "x" * 20_000})
    assert refused.status_code == 429  # of the same bucket
    assert refused.json()["error"]["message"].count("stored per day")


async def test_its_pieces_count_as_no_requests(
    shop: Shop, acme: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(file_store, "PIECE", 100_000)
    await limited(acme, megabytes_per_day=9, requests_per_minute=3, burst=3)
    answers = [await shop.upload(b"x" * 900_000) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [200, 200, 200]
    assert (await shop.upload(b"{}")).status_code == 429


async def test_parts_are_charged_their_bytes_and_the_whole_is_not_charged_again(
    shop: Shop, acme: Tenant
) -> None:
    await limited(acme, megabytes_per_day=1)
    content = jsonl([line(n) for n in range(4500)])
    assert MEGABYTE / 2 < len(content) < MEGABYTE
    told = {"bytes": len(content), "filename": "f", "mime_type": "text/jsonl", "purpose": "batch"}
    upload = (await shop.client.post("/v1/uploads", json=told)).json()["id"]
    files = {"data": ("f", content)}
    part = (await shop.client.post(f"/v1/uploads/{upload}/parts", files=files)).json()
    done = await shop.client.post(f"/v1/uploads/{upload}/complete", json={"part_ids": [part["id"]]})
    assert done.json()["file"]["bytes"] == len(content)
    again = (await shop.client.post("/v1/uploads", json=told)).json()["id"]
    refused = await shop.client.post(f"/v1/uploads/{again}/parts", files=files)
    assert refused.status_code == 429
    assert "bytes stored per day" in refused.json()["error"]["message"]


# Threads -----------------------------------------------------------------------------------------
class Slow:
    """A form whose client sends a byte now and then."""

    def __init__(self) -> None:
        self.sent = 0

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield FIRST
        while True:
            self.sent += 1
            yield b"x"
            await asyncio.sleep(0.05)


@pytest.fixture
def two_places(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uploads, "_places", UploadPlaces(2))
    monkeypatch.setattr(uploads, "OF_A_TENANT", 2)
    monkeypatch.setattr(upload_slots, "GRACE_S", 0.2)


async def slow_uploads(shop: Shop) -> "list[asyncio.Task[Any]]":
    bodies = [Slow(), Slow()]
    tasks = [
        asyncio.create_task(shop.client.post("/v1/files", content=body, headers=FORM))
        for body in bodies
    ]
    async with asyncio.timeout(20):
        while min(body.sent for body in bodies) <= 10:
            await asyncio.sleep(0.02)
    return tasks


async def ended(tasks: "list[asyncio.Task[Any]]") -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def test_a_slow_upload_gives_way_to_a_newcomer(shop: Shop, two_places: None) -> None:
    slow = await slow_uploads(shop)
    assert (await shop.upload(b"{}")).status_code == 200
    assert sum(task.done() for task in slow) == 1
    answer = await next(task for task in slow if task.done())
    assert answer.status_code == 408
    assert "gave way" in answer.json()["error"]["message"]
    assert await in_database(File.objects.count)() <= 2  # nothing is left of it
    assert await in_database(File.objects.whole().count)() == 1
    await ended(slow)


async def test_one_that_has_just_begun_gives_way_to_nobody(
    shop: Shop, two_places: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upload_slots, "GRACE_S", 60)
    slow = await slow_uploads(shop)
    refused = await shop.upload(b"{}")
    assert refused.status_code == 429
    assert refused.headers["retry-after"] == "2"
    assert not any(task.done() for task in slow)
    await ended(slow)


async def test_the_thread_of_a_request_that_was_cancelled_takes_the_next_upload(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its client goes on sending, and there is one thread alone."""
    monkeypatch.setattr(uploads, "_uploading", Threads(1, "single-upload"))
    body = Slow()
    cancelled = asyncio.create_task(shop.client.post("/v1/files", content=body, headers=FORM))
    async with asyncio.timeout(20):
        while body.sent < 5:
            await asyncio.sleep(0.02)
    await ended([cancelled])
    async with asyncio.timeout(20):
        assert (await shop.upload(b"{}")).status_code == 200
    sent = body.sent
    await asyncio.sleep(0.3)
    assert body.sent <= sent + 1  # nobody reads on


async def test_slow_uploads_keep_nothing_else_waiting(
    shop: Shop, two_places: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upload_slots, "GRACE_S", 60)
    slow = await slow_uploads(shop)
    told = {"bytes": 9, "filename": "f", "mime_type": "text/jsonl", "purpose": "batch"}
    upload = (await shop.client.post("/v1/uploads", json=told)).json()["id"]
    cancelled = await shop.client.post(f"/v1/uploads/{upload}/cancel")
    assert cancelled.json()["status"] == "cancelled"
    await ended(slow)
