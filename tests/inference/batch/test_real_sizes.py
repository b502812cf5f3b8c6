"""A file as large as one may be, with as many lines: `make soak` has the real sizes."""

import os
import resource
from collections.abc import AsyncIterator
from uuid import uuid4

import orjson
from channels.db import database_sync_to_async
from pytest_django.fixtures import Settings

from inference.batch import validation
from inference.models import Batch, BatchLine
from tests.inference.batch.conftest import CHAT, Shop, line

in_database = database_sync_to_async
LINES = int(os.environ.get("FOREBAY_TEST_BATCH_LINES", "1000"))
BYTES = 4_000  # of a line, with its end: 200 MB in 50,000
GROWTH = 96 * 1024  # KiB of memory


def of_size(number: int) -> bytes:
    bare = len(orjson.dumps(line(number, "x")))
    return orjson.dumps(line(number, "x" * (BYTES - bare))) + b"\n"


async def form() -> AsyncIterator[bytes]:
    head = b'--x\r\ncontent-disposition: form-data; name="'
    yield head + b'purpose"\r\n\r\nbatch\r\n' + head + b'file"; filename="f"\r\n\r\n'
    for start in range(0, LINES, 16):
        yield b"".join(map(of_size, range(start, min(LINES, start + 16))))
    yield b"\r\n--x--\r\n"


def peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


async def test_it_is_stored_and_validated_in_little_memory(shop: Shop, settings: Settings) -> None:
    settings.BATCH_LINES, settings.LARGEST_FILE_BYTES = LINES, LINES * BYTES
    headers = {"content-type": "multipart/form-data; boundary=x"}
    before = peak()
    stored = await shop.client.post("/v1/files", content=form(), headers=headers, timeout=600)
    assert (stored.status_code, stored.json()["bytes"]) == (200, LINES * BYTES)
    asked = {"input_file_id": stored.json()["id"], "endpoint": CHAT, "completion_window": "24h"}
    assert (await shop.client.post("/v1/batches", json=asked)).status_code == 200
    lease = uuid4()
    await in_database(Batch.objects.update)(lease=lease)
    batch = await in_database(Batch.objects.get)()
    await in_database(validation.validate)(batch.pk, lease)
    assert await in_database(BatchLine.objects.count)() == LINES
    await in_database(batch.refresh_from_db)()
    assert (batch.state, batch.total) == ("in_progress", LINES)
    assert peak() - before < GROWTH
