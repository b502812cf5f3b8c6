"""`/v1/uploads`: a file that comes in parts, with OpenAI's own client."""

import asyncio
from datetime import timedelta
from hashlib import md5
from typing import Any

import httpx
import openai
import pytest
from channels.db import database_sync_to_async
from django.utils import timezone
from pytest_django.fixtures import Settings

from audit.models import Event
from inference.api.openai import uploads
from inference.batch import file_store
from inference.models import File, FileChunk
from inference.tasks import forget_files
from tenants.models import ApiKey, Tenant
from tests.inference.batch.conftest import Shop, jsonl, line, rows_of
from tests.inference.web import served

in_database = database_sync_to_async
CONTENT = jsonl([line(n) for n in range(40)])
EXPIRY: Any = {"anchor": "created_at", "seconds": 3600}


@pytest.fixture
def sdk(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> openai.AsyncOpenAI:
    monkeypatch.setattr(file_store, "PIECE", 1000)
    key = shop.client.headers["authorization"].removeprefix("Bearer ")
    return _sdk(key)


def _sdk(key: str) -> openai.AsyncOpenAI:
    transport = httpx.ASGITransport(served, client=("198.51.100.7", 5000))
    client: Any = httpx.AsyncClient(transport=transport, timeout=60)
    return openai.AsyncOpenAI(
        base_url="http://forebay/v1", api_key=key, http_client=client, max_retries=0
    )


async def began(sdk: openai.AsyncOpenAI, size: int = len(CONTENT), **more: Any) -> Any:
    named: Any = {"filename": "lines.jsonl", "mime_type": "text/jsonl", "purpose": "batch"}
    return await sdk.uploads.create(**{**named, "bytes": size, **more})


async def nothing_is_left() -> bool:
    return not await in_database(lambda: File.objects.exists() or FileChunk.objects.exists())()


async def test_its_parts_become_a_file(sdk: openai.AsyncOpenAI, shop: Shop) -> None:
    """Which a batch can read; parts may come in another order, and at once."""
    upload = await began(sdk, expires_after=EXPIRY)
    assert (upload.status, upload.bytes, upload.filename) == (
        "pending",
        len(CONTENT),
        "lines.jsonl",
    )
    assert upload.expires_at == upload.created_at + 3600
    cuts = [CONTENT[:2500], CONTENT[2500:2501], CONTENT[2501:]]
    parts = await asyncio.gather(
        *[sdk.uploads.parts.create(upload.id, data=cut) for cut in reversed(cuts)]
    )
    assert (await sdk.files.list()).data == []
    ids = [part.id for part in reversed(parts)]
    told = md5(CONTENT, usedforsecurity=False).hexdigest()
    done = await sdk.uploads.complete(upload.id, part_ids=ids, md5=told)
    assert (done.status, done.id) == ("completed", upload.id)
    assert done.file
    assert done.file.expires_at == done.file.created_at + 3600
    assert (await sdk.files.content(done.file.id)).content == CONTENT
    assert [row.whole for row in await rows_of(File.objects.all())] == [True]
    acts = await rows_of(Event.objects.filter(action__startswith="file:create"))
    assert [act.detail["bytes"] for act in acts] == [len(CONTENT)]
    batch = await sdk.batches.create(
        input_file_id=done.file.id, endpoint="/v1/chat/completions", completion_window="24h"
    )
    assert (await shop.done({"id": batch.id}))["request_counts"]["completed"] == 40


async def test_the_clients_own_way(sdk: openai.AsyncOpenAI) -> None:
    done = await sdk.uploads.upload_file_chunked(
        file=CONTENT,
        filename="lines.jsonl",
        bytes=len(CONTENT),
        mime_type="text/jsonl",
        purpose="batch",
        part_size=1500,
    )
    assert done.file
    assert (await sdk.files.content(done.file.id)).content == CONTENT


async def test_cancelled_it_leaves_nothing(sdk: openai.AsyncOpenAI) -> None:
    upload = await began(sdk)
    await sdk.uploads.parts.create(upload.id, data=CONTENT)
    assert (await sdk.uploads.cancel(upload.id)).status == "cancelled"
    assert await nothing_is_left()
    with pytest.raises(openai.NotFoundError):
        await sdk.uploads.parts.create(upload.id, data=CONTENT)


async def test_what_is_not_as_it_was_said_stays_pending(sdk: openai.AsyncOpenAI) -> None:
    upload, other = await began(sdk), await began(sdk)
    part = await sdk.uploads.parts.create(upload.id, data=CONTENT)
    half = await sdk.uploads.parts.create(upload.id, data=CONTENT[:-1])
    theirs = await sdk.uploads.parts.create(other.id, data=CONTENT)
    wrong: list[dict[str, Any]] = [
        {"part_ids": [half.id]},
        {"part_ids": [part.id, part.id]},
        {"part_ids": [theirs.id]},
        {"part_ids": ["part_1"]},
        {"part_ids": []},
        {"part_ids": [part.id], "md5": "0" * 32},
    ]
    for asked in wrong:
        with pytest.raises(openai.BadRequestError):
            await sdk.uploads.complete(upload.id, **asked)
    assert not await in_database(File.objects.whole().exists)()
    assert (await sdk.uploads.complete(upload.id, part_ids=[part.id])).status == "completed"
    with pytest.raises(openai.NotFoundError):
        await sdk.uploads.complete(upload.id, part_ids=[part.id])


async def test_completed_twice_at_once_it_is_one_file(sdk: openai.AsyncOpenAI) -> None:
    upload = await began(sdk)
    part = await sdk.uploads.parts.create(upload.id, data=CONTENT)
    both = [sdk.uploads.complete(upload.id, part_ids=[part.id]) for _ in range(2)]
    ended = await asyncio.gather(*both, return_exceptions=True)
    assert sum(isinstance(each, openai.NotFoundError) for each in ended) == 1
    assert await in_database(File.objects.count)() == 1
    assert await in_database(Event.objects.filter(action="file:create").count)() == 1


async def test_no_tenant_takes_all_threads_with_it(
    sdk: openai.AsyncOpenAI, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To put a file together takes as long as to upload it."""
    upload = await began(sdk)
    part = await sdk.uploads.parts.create(upload.id, data=CONTENT)
    monkeypatch.setattr(uploads, "OF_A_TENANT", 0)
    with pytest.raises(openai.RateLimitError):
        await sdk.uploads.complete(upload.id, part_ids=[part.id])
    monkeypatch.undo()
    assert (await sdk.uploads.complete(upload.id, part_ids=[part.id])).status == "completed"


async def test_parts_count_and_their_time_ends(sdk: openai.AsyncOpenAI, settings: Settings) -> None:
    settings.TENANT_FILES_BYTES = len(CONTENT) + 1000
    upload = await began(sdk)
    part = await sdk.uploads.parts.create(upload.id, data=CONTENT)
    with pytest.raises(openai.RateLimitError):
        await sdk.uploads.parts.create(upload.id, data=CONTENT)
    an_hour_ago = timezone.now() - timedelta(hours=1)
    await in_database(File.objects.update)(created_at=an_hour_ago)
    with pytest.raises(openai.NotFoundError):
        await sdk.uploads.complete(upload.id, part_ids=[part.id])
    await in_database(File.objects.update)(created_at=an_hour_ago - timedelta(hours=1))
    await in_database(forget_files)()
    assert await nothing_is_left()


async def test_an_upload_that_asks_for_something_else(sdk: openai.AsyncOpenAI) -> None:
    for change in ({"size": 0}, {"size": 10**12}, {"filename": ""}, {"purpose": "vision"}):
        with pytest.raises(openai.BadRequestError):
            await began(sdk, **change)
    with pytest.raises(openai.BadRequestError):
        await began(sdk, expires_after={"anchor": "created_at", "seconds": 1})


@pytest.mark.parametrize("same_tenant", [True, False])
async def test_anothers_upload_does_not_exist(
    sdk: openai.AsyncOpenAI, acme: Tenant, same_tenant: bool
) -> None:
    tenant = acme if same_tenant else await in_database(Tenant.open)("globex", by="test")
    _, text = await in_database(ApiKey.issue)(tenant, "other", by="member:" + "0" * 32)
    upload, other = await began(sdk), _sdk(text)
    part = await sdk.uploads.parts.create(upload.id, data=CONTENT)
    with pytest.raises(openai.NotFoundError):
        await other.uploads.parts.create(upload.id, data=CONTENT)
    with pytest.raises(openai.NotFoundError):
        await other.uploads.complete(upload.id, part_ids=[part.id])
    with pytest.raises(openai.NotFoundError):
        await other.uploads.cancel(upload.id)
    file_id = part.id.replace("part_", "file-")
    for asks in (sdk, other):
        with pytest.raises(openai.NotFoundError):
            await asks.files.content(file_id)


async def test_uploads_and_parts_are_bounded(
    sdk: openai.AsyncOpenAI, shop: Shop, settings: Settings
) -> None:
    settings.TENANT_FILES_MOST = 3
    upload = await began(sdk)
    await sdk.uploads.parts.create(upload.id, data=b"x")
    other = await began(sdk)
    for more in (began(sdk), sdk.uploads.parts.create(upload.id, data=b"y")):
        with pytest.raises(openai.RateLimitError) as refused:
            await more
        assert refused.value.code == "too_many_files"
    assert (await shop.upload(b"x")).json()["error"]["code"] == "too_many_files"
    await sdk.uploads.cancel(other.id)
    await sdk.uploads.parts.create(upload.id, data=b"y")
