"""Commits of uploads and batches that are cut off, as by a planned switch-over, are done again."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from typing import Any

import httpx
import psycopg
import pytest
from channels.db import database_sync_to_async
from pytest_django.fixtures import Settings

from audit.models import Event
from inference.batch import file_store, results, upload_parts
from inference.batch.file_store import FileWriter
from inference.models import Batch, File, FileChunk
from infrastructure.postgres.patient_backend.base import DatabaseWrapper
from tests.inference.batch.conftest import CHAT, Shop, jsonl, line, rows_of
from tests.inference.cut_offs import commits_cut_off, end

in_database = database_sync_to_async


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
    numbers = [chunk.number for chunk in await rows_of(FileChunk.objects.order_by("number"))]
    assert numbers == [0, 1, 2]
    stored = await shop.client.get(f"/v1/files/{whole['file']['id']}/content")
    assert stored.content == bytes(range(250))
    assert await acts() == ["file:create", "file:read"]


async def test_a_file_is_deleted_once(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    file = ok(await shop.upload(b"one"))
    with commits_cut_off(monkeypatch):
        assert ok(await shop.client.delete(f"/v1/files/{file['id']}"))["deleted"]
    assert (await shop.client.delete(f"/v1/files/{file['id']}")).status_code == 404
    assert await acts() == ["file:create", "file:delete"]


async def test_reads_of_dialogues_too(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    with commits_cut_off(monkeypatch):
        answer = await shop.client.get("/v1/dialogues/dlg_" + "0" * 32)
    assert answer.status_code == 404, answer.text


# What a commit has stored whose answer was lost ---------------------------------------------------
@contextmanager
def answer_lost(monkeypatch: pytest.MonkeyPatch, owner: Any, name: str) -> Iterator[None]:
    """Inside, the first commit of what `name` does happens, and nobody hears of it."""
    work, commit, mine = getattr(owner, name), DatabaseWrapper.commit, threading.local()
    times = count()

    def noted(*arguments: Any) -> Any:
        mine.commits = next(times) == 0
        return work(*arguments)

    def lost(self: DatabaseWrapper) -> None:
        commit(self)
        if getattr(mine, "commits", False):
            mine.commits = False
            end(self)

    with monkeypatch.context() as patched:
        patched.setattr(owner, name, noted)
        patched.setattr(DatabaseWrapper, "commit", lost)
        yield
    assert next(times) > 0


async def test_results_of_a_batch_stay(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    batch = await shop.begin([line(n) for n in range(3)])
    with answer_lost(monkeypatch, results, "_end"):
        done = await shop.done(batch)
    assert done["status"] == "completed"
    assert len(await shop.lines(done["output_file_id"])) == 3


@pytest.mark.parametrize("work", [(FileWriter, "_complete"), (upload_parts, "_finish")])
async def test_a_file_stays_though_patience_ends(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, settings: Settings, work: tuple[Any, str]
) -> None:
    settings.FAILOVER_WAIT_S = 0
    with answer_lost(monkeypatch, *work):
        answer = await upload_in_parts(shop) if work[1] == "_finish" else await shop.upload(b"one")
    assert answer.status_code == 503
    (file,) = ok(await shop.client.get("/v1/files"))["data"]
    assert (await shop.client.get(f"/v1/files/{file['id']}/content")).content == b"one"


async def upload_in_parts(shop: Shop) -> httpx.Response:
    fields = {"filename": "a.jsonl", "mime_type": "x", "purpose": "batch", "bytes": 3}
    where = f"/v1/uploads/{ok(await shop.client.post('/v1/uploads', json=fields))['id']}"
    part = ok(await shop.client.post(f"{where}/parts", files={"data": ("part", b"one")}))
    return await shop.client.post(f"{where}/complete", json={"part_ids": [part["id"]]})


# A commit that still runs when its transaction is done again --------------------------------------
_INSERTED = "select pg_stat_get_xact_tuples_inserted(%s::regclass) > 0"


@contextmanager
def commit_comes_late(monkeypatch: pytest.MonkeyPatch, table: str) -> Iterator[None]:
    """Inside, the connection ends in the first commit that inserts there; it happens 1 s later."""
    commit, late = DatabaseWrapper.commit, list[threading.Thread]()

    def cut_off(self: DatabaseWrapper) -> None:
        with self.connection.cursor() as cursor:
            inserts = cursor.execute(_INSERTED, [table]).fetchone() == (True,)
        if inserts and not late:
            server = self.connection
            self.connection = psycopg.connect(server.info.dsn, password=server.info.password)
            late.append(threading.Thread(target=committed_later, args=[server]))
            late[0].start()
            end(self)
        commit(self)

    with monkeypatch.context() as patched:
        patched.setattr(DatabaseWrapper, "commit", cut_off)
        yield
    late[0].join()


def committed_later(server: "psycopg.Connection[Any]") -> None:
    time.sleep(1)
    server.commit()
    server.close()


async def test_a_file_whose_commit_still_runs(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    with commit_comes_late(monkeypatch, "inference_file"):
        file = ok(await shop.upload(b"one"))
    assert ok(await shop.client.get(f"/v1/files/{file['id']}")) == file


async def test_a_batch_whose_commit_still_runs(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    file = ok(await shop.upload(jsonl([line(1)])))
    fields = {"input_file_id": file["id"], "endpoint": CHAT, "completion_window": "24h"}
    with commit_comes_late(monkeypatch, "inference_batch"):
        ok(await shop.client.post("/v1/batches", json=fields))
    assert await in_database(Batch.objects.count)() == 1


async def test_the_most_files_are_the_most(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, settings: Settings
) -> None:
    settings.TENANT_FILES_MOST = 1
    with commits_cut_off(monkeypatch):
        ok(await shop.upload(b"one"))
    assert (await shop.upload(b"two")).status_code == 429
