"""Commits of uploads and batches that are cut off, as by a planned switch-over, are done again."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count, cycle
from typing import Any, NoReturn

import httpx
import psycopg
import pytest
from channels.db import database_sync_to_async
from django.db import OperationalError
from pytest_django.fixtures import Settings

from audit.models import Event
from inference.batch import file_store
from inference.models import Batch, File, FileChunk
from infrastructure.postgres.patient_backend.base import DatabaseWrapper
from tests.inference.batch.conftest import CHAT, Shop, jsonl, line, rows_of

in_database = database_sync_to_async
Commit = Callable[[DatabaseWrapper], None]


def end(connection: DatabaseWrapper) -> NoReturn:
    connection.connection.close()
    raise OperationalError from psycopg.OperationalError("the connection is lost")


@contextmanager
def commits_cut_off(monkeypatch: pytest.MonkeyPatch) -> Iterator["count[int]"]:
    """Inside, each commit is cut off before it happened, then after it, and is answered at last.

    Yields a counter of those that were cut off.
    """
    commit: Commit = DatabaseWrapper.commit
    cut_offs, fates = count(), cycle(("before", "after", ""))

    def cut_off(self: DatabaseWrapper) -> None:
        fate = next(fates)
        if fate != "before":
            commit(self)
        if fate:
            next(cut_offs)
            end(self)

    with monkeypatch.context() as patched:
        patched.setattr(DatabaseWrapper, "commit", cut_off)
        yield cut_offs


@pytest.fixture(autouse=True)
def patience(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.FAILOVER_WAIT_S = 20
    monkeypatch.setattr(file_store, "PIECE", 100)


async def acts() -> list[str]:
    rows: list[Event] = await rows_of(Event.objects.order_by("id"))
    return [row.action for row in rows if row.action.startswith(("file:", "batch:"))]


def ok(answer: httpx.Response) -> dict[str, Any]:
    assert answer.status_code == 200, answer.text
    fields: dict[str, Any] = answer.json()
    return fields


async def test_a_file_is_stored_once(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    content = bytes(range(250))
    with commits_cut_off(monkeypatch) as cut_offs:
        file = ok(await shop.upload(content))
        assert ok(await shop.client.get(f"/v1/files/{file['id']}")) == file
        assert ok(await shop.client.get("/v1/files"))["data"] == [file]
    assert next(cut_offs) >= 2 * 5  # the row, three pieces, the end
    stored = await shop.client.get(f"/v1/files/{file['id']}/content")
    assert stored.content == content
    assert await in_database(FileChunk.objects.count)() == 3
    assert await acts() == ["file:create", "file:read"]


async def test_content_arrives_whole(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    content = bytes(range(250))
    file = ok(await shop.upload(content))
    with commits_cut_off(monkeypatch):
        assert (await shop.client.get(f"/v1/files/{file['id']}/content")).content == content


async def test_a_batch_is_created_once(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    file = ok(await shop.upload(jsonl([line(1)])))
    fields = {"input_file_id": file["id"], "endpoint": CHAT, "completion_window": "24h"}
    with commits_cut_off(monkeypatch):
        batch = ok(await shop.client.post("/v1/batches", json=fields))
        assert ok(await shop.client.get(f"/v1/batches/{batch['id']}")) == batch
        assert [each["id"] for each in ok(await shop.client.get("/v1/batches"))["data"]] == [
            batch["id"]
        ]
        cancelled = ok(await shop.client.post(f"/v1/batches/{batch['id']}/cancel"))
    assert cancelled["status"] == "cancelling"
    assert [row.public_id for row in await rows_of(Batch.objects.all())] == [batch["id"]]
    assert await acts() == ["file:create", "batch:create", "batch:cancel"]


async def test_a_file_in_parts_is_stored_once(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    fields = {"filename": "a.jsonl", "mime_type": "x", "purpose": "batch", "bytes": 250}
    with commits_cut_off(monkeypatch):
        upload = ok(await shop.client.post("/v1/uploads", json=fields))
        where = f"/v1/uploads/{upload['id']}"
        form = {"data": ("part", bytes(range(250)))}
        part = ok(await shop.client.post(f"{where}/parts", files=form))
        whole = ok(await shop.client.post(f"{where}/complete", json={"part_ids": [part["id"]]}))
    assert whole["status"] == "completed"
    assert await in_database(File.objects.count)() == 1
    assert await in_database(FileChunk.objects.count)() == 3
    assert await acts() == ["file:create"]


async def test_the_most_files_are_the_most(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, settings: Settings
) -> None:
    settings.TENANT_FILES_MOST = 1
    with commits_cut_off(monkeypatch):
        ok(await shop.upload(b"one"))
    assert (await shop.upload(b"two")).status_code == 429
