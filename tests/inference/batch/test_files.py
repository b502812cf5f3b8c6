"""`/v1/files`: stored in encrypted pieces as they come; for the key that stored them alone."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from functools import partial
from typing import Any, NoReturn

import httpx
import pytest
from channels.db import database_sync_to_async
from django.db import connection
from django.utils import timezone
from pytest_django.fixtures import Settings

from audit.erasure import erasers
from audit.keys.keyring import Barred, keyring
from audit.models import DataKey, Event
from audit.retention import legal_hold
from inference.batch import actions, file_storage_limit, file_store
from inference.models import Batch, File, FileChunk, FilePurpose
from inference.tasks import forget_files
from tenants.models import ApiKey, Tenant
from tenants.scope import tenant_scope
from tests.inference.batch.conftest import CHAT, Shop, jsonl, line, rows_of
from tests.inference.batch.uploads import packed_form
from tests.inference.running import until
from tests.inference.web import served

in_database = database_sync_to_async
SECRET = b"the quick brown forebay"


async def code(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["error"]["code"]


async def test_one_is_stored_and_read_again(shop: Shop) -> None:
    stored = await shop.upload(SECRET)
    assert stored.status_code == 200
    file = stored.json()
    assert file == {
        "id": file["id"],
        "object": "file",
        "bytes": len(SECRET),
        "created_at": file["created_at"],
        "expires_at": None,
        "filename": "lines.jsonl",
        "purpose": "batch",
        "status": "processed",
        "status_details": None,
    }
    assert (await shop.client.get(f"/v1/files/{file['id']}")).json() == file
    assert (await shop.client.get(f"/v1/files/{file['id']}/content")).content == SECRET
    deleted = await shop.client.delete(f"/v1/files/{file['id']}")
    assert deleted.json() == {"id": file["id"], "object": "file", "deleted": True}
    assert (await shop.client.get(f"/v1/files/{file['id']}")).status_code == 404
    assert not await in_database(FileChunk.objects.exists)()
    acts = await rows_of(Event.objects.filter(action__startswith="file:").order_by("id"))
    assert [act.action for act in acts] == ["file:create", "file:read", "file:delete"]
    assert {act.actor for act in acts} == {shop.key.actor}
    assert {act.client_net for act in acts} == {"198.51.100.0"}


async def test_it_is_kept_in_encrypted_pieces(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(file_store, "PIECE", 1000)
    content = b"".join(b"%06d %b\n" % (n, SECRET) for n in range(500))
    file = (await shop.upload(content)).json()
    chunks = await rows_of(FileChunk.objects.order_by("number"))
    assert [chunk.number for chunk in chunks] == list(range(-(-len(content) // 1000)))
    at_rest = b"".join(bytes(chunk.ciphertext) for chunk in chunks)
    row = await in_database(File.objects.get)()
    assert SECRET not in at_rest
    assert b"lines.jsonl" not in bytes(row.name_ciphertext)
    assert (await shop.client.get(f"/v1/files/{file['id']}/content")).content == content
    key = await in_database(DataKey.objects.get)(pk=row.data_key_id)
    assert key.subject_id == shop.key.subject_id


async def test_swapped_pieces_do_not_open(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(file_store, "PIECE", 8)
    file = (await shop.upload(SECRET)).json()
    first, second, *_ = await rows_of(FileChunk.objects.order_by("number"))
    first.ciphertext, second.ciphertext = second.ciphertext, first.ciphertext
    await in_database(FileChunk.objects.bulk_update)([first, second], ["ciphertext"])
    sent: list[bytes] = []

    async def watched(scope: Any, receive: Any, send: Any) -> None:
        async def keep(message: dict[str, Any]) -> None:
            sent.append(message.get("body", b""))
            await send(message)

        await served(scope, receive, keep)

    transport = httpx.ASGITransport(watched, client=("198.51.100.7", 5000))
    async with httpx.AsyncClient(transport=transport, headers=shop.client.headers) as client:
        with pytest.raises(AssertionError):  # the transport's own: the answer has no end
            await client.get(f"http://forebay/v1/files/{file['id']}/content")
    assert sent == [b""]  # the head alone


async def test_the_list_has_cursors(shop: Shop) -> None:
    ids = [(await shop.upload(b"%d" % n)).json()["id"] for n in range(5)]
    first = (await shop.client.get("/v1/files", params={"limit": 2})).json()
    assert [file["id"] for file in first["data"]] == ids[:2:-1]
    assert (first["first_id"], first["last_id"], first["has_more"]) == (ids[4], ids[3], True)
    rest = (await shop.client.get("/v1/files", params={"after": ids[3]})).json()
    assert [file["id"] for file in rest["data"]] == ids[2::-1]
    assert not rest["has_more"]
    ascending = await shop.client.get("/v1/files", params={"order": "asc", "purpose": "batch"})
    assert [file["id"] for file in ascending.json()["data"]] == ids
    others = (await shop.client.get("/v1/files", params={"purpose": "batch_output"})).json()
    assert others["data"] == []


async def test_files_of_another_purpose_are_none(shop: Shop) -> None:
    await shop.upload(b"{}")
    for purpose, count in (("batch", 1), ("user_data", 0), ("fine-tune", 0)):
        answer = await shop.client.get("/v1/files", params={"purpose": purpose})
        assert (answer.status_code, len(answer.json()["data"])) == (200, count)
    answer = await shop.client.get("/v1/files", params={"purpose": "none"})
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "purpose")


async def test_a_list_that_cannot_be_read(shop: Shop) -> None:
    for params in (
        {"limit": "0"},
        {"limit": "x"},
        {"order": "up"},
        {"after": "file-1"},
        {"x": "2"},
    ):
        answer = await shop.client.get("/v1/files", params=params)
        assert answer.status_code == 400
        assert answer.json()["error"]["param"] == next(iter(params))


async def test_a_form_that_asks_for_something_else(shop: Shop) -> None:
    form: dict[str, str]
    for form in ({"purpose": "assistants"}, {"metadata": "x"}):
        answer = await shop.upload(b"{}", **form)
        assert answer.status_code == 400
        assert answer.json()["error"]["param"] == next(iter(form))
    assert not await in_database(File.objects.exists)()


async def test_what_is_no_form(shop: Shop) -> None:
    post = shop.client.post
    assert (await post("/v1/files", json={})).status_code == 400
    assert (await post("/v1/files", data={"purpose": "batch"})).status_code == 400
    kind = {"content-type": "multipart/form-data; boundary=x"}
    assert (await post("/v1/files", content=b"not a form", headers=kind)).status_code == 400
    without = await post("/v1/files", content=b"", headers={"content-type": "multipart/form-data"})
    assert without.status_code == 400
    odd = {"content-type": "multipart/form-data; boundary=x; name*=nosuch''x"}
    answer = await post("/v1/files", content=b"not a form", headers=odd)
    assert await code(answer) == (400, "invalid_request")
    two = [("file", ("a", b"a")), ("file", ("b", b"b"))]
    assert (await post("/v1/files", data={"purpose": "batch"}, files=two)).status_code == 400
    assert not await in_database(File.objects.exists)()


# Limits -----------------------------------------------------------------------------------------
async def test_one_that_is_too_large_leaves_nothing(shop: Shop, settings: Settings) -> None:
    settings.LARGEST_FILE_BYTES = 100_000
    said = await shop.upload(b"x" * 300_000)  # by its length
    assert await code(said) == (413, "request_too_large")
    assert await code(await shop.upload(b"x" * 100_001)) == (413, "request_too_large")
    assert (await shop.upload(b"x" * 100_000)).status_code == 200
    assert await in_database(File.objects.count)() == 1


async def test_one_whose_length_is_not_said_is_not_read_on(shop: Shop, settings: Settings) -> None:
    settings.LARGEST_FILE_BYTES = 100_000
    sent = 0

    async def body() -> Any:
        nonlocal sent
        yield b'--x\r\ncontent-disposition: form-data; name="file"; filename="f"\r\n\r\n'
        for _ in range(1000):
            sent += 10_000
            yield b"x" * 10_000

    kind = {"content-type": "multipart/form-data; boundary=x"}
    answer = await shop.client.post("/v1/files", content=body(), headers=kind)
    assert await code(answer) == (413, "request_too_large")
    assert not await in_database(File.objects.exists)()


async def test_a_compressed_form(shop: Shop) -> None:
    content = SECRET * 10_000
    body, headers = packed_form(content)
    file = (await shop.client.post("/v1/files", content=body, headers=headers)).json()
    assert (await shop.client.get(f"/v1/files/{file['id']}/content")).content == content


async def test_a_zip_bomb_is_unpacked_up_to_the_limit_alone(
    shop: Shop, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.LARGEST_FILE_BYTES, stored = 1_000_000, 0
    write = file_store.FileWriter.write

    def counting(self: file_store.FileWriter, data: bytes) -> None:
        nonlocal stored
        stored += len(data)
        write(self, data)

    monkeypatch.setattr(file_store.FileWriter, "write", counting)
    body, headers = packed_form(b"0" * 200_000_000)
    assert len(body) < 300_000
    answer = await shop.client.post("/v1/files", content=body, headers=headers)
    assert await code(answer) == (413, "request_too_large")
    assert stored <= 1_000_000
    assert not await in_database(File.objects.exists)()


@pytest.mark.parametrize("encoding", ["gzip", "br"])
async def test_what_is_not_compressed_as_it_says(shop: Shop, encoding: str) -> None:
    body, headers = packed_form(SECRET * 1000)
    headers["content-encoding"] = encoding
    answer = await shop.client.post("/v1/files", content=body[:-20], headers=headers)
    assert answer.status_code == (400 if encoding == "gzip" else 415)
    assert not await in_database(File.objects.exists)()


async def test_a_tenants_files_have_a_limit_together(shop: Shop, settings: Settings) -> None:
    settings.TENANT_FILES_BYTES = 100
    assert (await shop.upload(b"x" * 100)).status_code == 200
    assert await code(await shop.upload(b"x")) == (429, "file_storage_full")


@asynccontextmanager
async def slowly(shop: Shop, *, parts: int, size: int) -> AsyncIterator["Slowly"]:
    """An upload whose parts of the file come when they are asked for."""
    slow = Slowly(parts, size)
    headers = {"content-type": "multipart/form-data; boundary=x"}
    asked = shop.client.post("/v1/files", content=slow.body(), headers=headers)
    slow.answer = asyncio.ensure_future(asked)
    yield slow
    slow.answer.cancel()


class Slowly:
    answer: "asyncio.Future[httpx.Response]"

    def __init__(self, parts: int, size: int) -> None:
        self.parts, self.size = parts, size
        self.next, self.sent = asyncio.Semaphore(0), 0

    async def body(self) -> AsyncIterator[bytes]:
        head = b'--x\r\ncontent-disposition: form-data; name="'
        yield head + b'purpose"\r\n\r\nbatch\r\n' + head + b'file"; filename="f"\r\n\r\n'
        for _ in range(self.parts):
            await self.next.acquire()
            self.sent += 1
            yield b"x" * self.size
        yield b"\r\n--x--\r\n"

    def send(self, parts: int = 1) -> None:
        for _ in range(parts):
            self.next.release()


async def test_two_at_once_cannot_go_past_the_limit_together(
    shop: Shop, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(file_store, "PIECE", 1000)
    monkeypatch.setattr(file_storage_limit, "AHEAD", 2000)
    settings.TENANT_FILES_BYTES = 110_000
    async with slowly(shop, parts=3, size=20_000) as one, slowly(shop, parts=3, size=20_000) as two:
        for each in (one, two):
            each.send(2)
        await until(in_database(lambda: FileChunk.objects.count() > 70))
        one.send()
        assert (await one.answer).status_code == 200
        two.send()
        assert await code(await two.answer) == (429, "file_storage_full")
    assert [file.size for file in await rows_of(File.objects.all())] == [60_000]
    assert await in_database(FileChunk.objects.count)() == 60
    assert (await shop.upload(b"x" * 40_000)).status_code == 200


async def test_results_are_kept_in_any_case_and_count(shop: Shop, settings: Settings) -> None:
    file = (await shop.upload(jsonl([line(1)]))).json()
    asked = {"input_file_id": file["id"], "endpoint": CHAT, "completion_window": "24h"}
    batch = (await shop.client.post("/v1/batches", json=asked)).json()
    settings.TENANT_FILES_BYTES = file["bytes"] + 1
    ended = await shop.done(batch)
    assert len(await shop.lines(ended["output_file_id"])) == 1
    assert await code(await shop.upload(b"x")) == (429, "file_storage_full")
    again = await shop.client.post("/v1/batches", json=asked)
    assert await code(again) == (429, "file_storage_full")
    await shop.client.delete(f"/v1/files/{ended['output_file_id']}")
    assert (await shop.client.post("/v1/batches", json=asked)).status_code == 200


async def test_whoever_is_erased_meanwhile_leaves_nothing(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(file_store, "PIECE", 1000)
    for barred, told in ((False, (409, "file_gone")), (True, (403, "restricted"))):
        async with slowly(shop, parts=2, size=5000) as upload:
            upload.send()
            await until(in_database(FileChunk.objects.exists))
            eraser = erasers.find("files")
            assert eraser
            await in_database(eraser.erase)(shop.key.tenant_id, shop.key.subject_id)
            if barred:
                monkeypatch.setattr(keyring, "of_subject_now", _barred)
            upload.send()
            assert await code(await upload.answer) == told
        assert not await in_database(lambda: File.objects.exists() or FileChunk.objects.exists())()


def _barred(*_who: Any) -> NoReturn:
    raise Barred("erased")


async def test_what_is_erased_after_its_last_byte_is_not_told_as_stored(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    finish = file_store.FileWriter.finish

    def after_an_erasure(self: file_store.FileWriter, *more: Any, **fields: Any) -> File:
        File.objects.all().delete()
        return finish(self, *more, **fields)

    monkeypatch.setattr(file_store.FileWriter, "finish", after_an_erasure)
    assert await code(await shop.upload(SECRET)) == (409, "file_gone")
    assert not await in_database(Event.objects.filter(action="file:create").exists)()


# Expiry -----------------------------------------------------------------------------------------
def expiring(seconds: str, anchor: str = "created_at") -> dict[str, str]:
    return {"expires_after[anchor]": anchor, "expires_after[seconds]": seconds}


async def test_one_that_is_to_expire(shop: Shop) -> None:
    kept = (await shop.upload(SECRET)).json()
    file = (await shop.upload(SECRET, **expiring("3600"))).json()
    assert file["expires_at"] == file["created_at"] + 3600
    assert (await shop.client.get(f"/v1/files/{file['id']}")).json() == file
    await in_database(forget_files)()
    assert await in_database(File.objects.count)() == 2
    past = timezone.now() - timedelta(seconds=1)
    await in_database(File.objects.exclude(expires_at=None).update)(expires_at=past)
    await in_database(forget_files)()
    assert [row.public_id for row in await rows_of(File.objects.all())] == [kept["id"]]
    (event,) = await rows_of(Event.objects.filter(action="file:delete"))
    assert (event.actor, event.detail["file"]) == ("system:expiry", file["id"])


async def test_an_expiry_that_is_none(shop: Shop) -> None:
    named = "expires_after[anchor]"
    for form, param in (
        (expiring("3599"), "expires_after[seconds]"),
        (expiring("2592001"), "expires_after[seconds]"),
        (expiring("soon"), "expires_after[seconds]"),
        (expiring("3600", "last_active_at"), named),
        ({"expires_after[seconds]": "3600"}, named),
    ):
        answer = await shop.upload(SECRET, **form)
        assert (answer.status_code, answer.json()["error"]["param"]) == (400, param)
    assert not await in_database(File.objects.exists)()


async def test_what_a_batch_reads_stays_and_its_results_expire(shop: Shop) -> None:
    policy = {"anchor": "created_at", "seconds": 7200}
    batch = await shop.begin([line(1)], output_expires_after=policy)
    past = timezone.now() - timedelta(seconds=1)
    await in_database(File.objects.update)(expires_at=past)
    await in_database(forget_files)()
    ended = await shop.done(batch)
    assert ended["status"] == "completed"
    found = (await shop.client.get(f"/v1/files/{ended['output_file_id']}")).json()
    assert found["expires_at"] == found["created_at"] + 7200
    await in_database(forget_files)()
    assert [row.public_id for row in await rows_of(File.objects.all())] == [found["id"]]


async def test_a_legal_hold_keeps_a_file_and_delays_no_other(
    shop: Shop, acme: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(file_store, "EXPIRED_BATCH", 1)
    held = (await shop.upload(SECRET, **expiring("3600"))).json()
    other, _text = await in_database(ApiKey.issue)(acme, "other", by="test")
    owner = file_store.FileOwner(acme.pk, other.subject_id, other.pk, other.actor)
    writer = await in_database(file_store.FileWriter)(owner, FilePurpose.BATCH, "theirs")
    await in_database(writer.finish)(3600)
    ends, subject_id = timezone.now() + timedelta(days=9), shop.key.subject_id
    place = partial(legal_hold.request, acme.pk, by="user:8", reason="case", expires_at=ends)
    await in_database(place)(subject_id=subject_id)
    answer = await shop.client.delete(f"/v1/files/{held['id']}")
    assert await code(answer) == (409, "on_hold")
    for number, file in enumerate(await rows_of(File.objects.order_by("created_at"))):
        past = timezone.now() - timedelta(seconds=9 - number)
        await in_database(File.objects.filter(pk=file.pk).update)(expires_at=past)
    await in_database(forget_files)()
    assert [row.public_id for row in await rows_of(File.objects.all())] == [held["id"]]
    (event,) = await rows_of(Event.objects.filter(action="file:delete"))
    assert event.subject_id == other.subject_id


def in_own_thread(work: Callable[[], Any]) -> "asyncio.Future[Any]":
    def clean() -> Any:
        try:
            return work()
        finally:
            connection.close()

    return asyncio.ensure_future(asyncio.to_thread(clean))


async def test_nobody_deletes_what_a_batch_begins_to_read(shop: Shop) -> None:
    """Not while that is being written down, either."""
    stored = (await shop.upload(jsonl([line(1)]))).json()
    past = timezone.now() - timedelta(seconds=1)
    await in_database(File.objects.update)(expires_at=past)
    begun, go_on = threading.Event(), threading.Event()

    def begin() -> None:
        file = File.objects.get()
        who = file_store.FileOwner(file.tenant_id, file.subject_id, file.api_key_id, "test")
        with tenant_scope(file.tenant_id):
            actions.create(who, file, CHAT)
            begun.set()
            assert go_on.wait(20)

    def others_wait() -> bool:
        with connection.cursor() as cursor:
            cursor.execute(
                "select count(*) from pg_stat_activity "
                "where wait_event_type = 'Lock' and datname = current_database()"
            )
            return bool(cursor.fetchone() == (2,))

    beginning = in_own_thread(begin)
    await asyncio.to_thread(begun.wait, 20)
    forgetting = in_own_thread(forget_files)
    deleting = asyncio.ensure_future(shop.client.delete(f"/v1/files/{stored['id']}"))
    try:
        await until(lambda: in_own_thread(others_wait), 10)
    finally:
        go_on.set()
        await asyncio.gather(beginning, forgetting)
    assert await code(await deleting) == (409, "file_in_use")
    assert await in_database(File.objects.exists)()


@pytest.mark.parametrize(
    "policy",
    [3600, {"anchor": "created_at"}, {"seconds": 3600}, {"anchor": "created_at", "seconds": True}],
)
async def test_results_cannot_expire_like_this(shop: Shop, policy: Any) -> None:
    file = (await shop.upload(jsonl([line(1)]))).json()
    asked = {"input_file_id": file["id"], "endpoint": CHAT, "completion_window": "24h"}
    answer = await shop.client.post("/v1/batches", json={**asked, "output_expires_after": policy})
    assert answer.status_code == 400
    assert answer.json()["error"]["param"].startswith("output_expires_after")


async def test_what_a_dead_process_left_is_forgotten(shop: Shop) -> None:
    await shop.upload(SECRET)
    key = shop.key
    owner = file_store.FileOwner(key.tenant_id, key.subject_id, key.pk, key.actor)
    writer = await in_database(file_store.FileWriter)(owner, FilePurpose.BATCH, "left")
    await in_database(writer.write)(SECRET)
    await in_database(forget_files)()
    assert await in_database(File.objects.count)() == 2
    long_ago = timezone.now() - 2 * file_store.ABANDONED
    await in_database(File.objects.update)(created_at=long_ago)
    await in_database(forget_files)()
    assert [file.whole for file in await rows_of(File.objects.all())] == [True]


# Whose they are ---------------------------------------------------------------------------------
@pytest.mark.parametrize("same_tenant", [True, False])
async def test_anothers_file_does_not_exist(shop: Shop, acme: Tenant, same_tenant: bool) -> None:
    """A file of another tenant, of another person's key, or of nobody: there is no telling."""
    file = (await shop.upload(jsonl([line(1)]))).json()
    tenant = acme if same_tenant else await in_database(Tenant.open)("globex", by="test")
    _, text = await in_database(ApiKey.issue)(tenant, "other", by="member:" + "0" * 32)
    headers = {"Authorization": f"Bearer {text}"}
    nobodys = f"file-{'0' * 31}1"

    async def asked(file_id: str) -> list[tuple[int, Any]]:
        asked = {"input_file_id": file_id, "endpoint": "/v1/completions"}
        answers = [
            await shop.client.get(f"/v1/files/{file_id}", headers=headers),
            await shop.client.get(f"/v1/files/{file_id}/content", headers=headers),
            await shop.client.delete(f"/v1/files/{file_id}", headers=headers),
            await shop.client.post(
                "/v1/batches", json={**asked, "completion_window": "24h"}, headers=headers
            ),
        ]
        return [(answer.status_code, answer.json()) for answer in answers]

    told = await asked(file["id"])
    assert [status for status, _ in told] == [404] * 4
    assert told == await asked(nobodys)
    listed = (await shop.client.get("/v1/files", headers=headers)).json()
    assert listed["data"] == []
    assert not await in_database(Batch.objects.exists)()


async def test_a_key_needs_a_scope_for_it(shop: Shop, acme: Tenant) -> None:
    for scope, status in (("management:read", 403), ("batch", 200)):
        _, text = await in_database(ApiKey.issue)(acme, scope, by="test", scopes=[scope])
        answer = await shop.client.get("/v1/files", headers={"Authorization": f"Bearer {text}"})
        assert answer.status_code == status


async def test_methods(shop: Shop) -> None:
    answer = await shop.client.put("/v1/files")
    assert (answer.status_code, answer.headers["allow"]) == (405, "GET, HEAD, POST, OPTIONS")
    answer = await shop.client.put("/v1/files/file-1")
    assert answer.headers["allow"] == "GET, HEAD, DELETE, OPTIONS"
