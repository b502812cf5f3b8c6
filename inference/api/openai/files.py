"""`/v1/files`: the stored files of a key, and the results of its batches (OpenAI, Files)."""

from functools import partial
from typing import Any

from channels.db import database_sync_to_async

from audit.actions import Action
from audit.keys.keyring import Unreadable
from audit.retention.legal_hold import OnHold
from audit.trail.truncated_address import network
from inference.api.call import Call
from inference.api.http import lists
from inference.api.http.callers import address_counted_caller, counted_caller
from inference.api.http.request import Request
from inference.api.openai import stored_objects, uploads
from inference.api.ownership import own, repeatable_in_scope
from inference.batch import file_store
from inference.batch.encryption import known_name
from inference.batch.file_store import FileReader, is_in_use, lock_if_whole, on_record
from inference.errors import Conflict, NotFound, must_be
from inference.models import File, FilePurpose
from tenants.caller import Caller
from tenants.key_scopes import Scope

PREFIX = "file-"
BOUNDS = PREFIX, 10_000, 10_000  # of a list
# OpenAI's purposes. Most of them have no files here.
PURPOSES = (
    *FilePurpose.values,
    "assistants",
    "assistants_output",
    "evals",
    "fine-tune-results",
    "user_data",
    "vision",
)
BYTES = [(b"content-type", b"application/octet-stream")]


async def create(request: Request) -> None:
    caller = await counted_caller(request, Scope.BATCH)
    file = await uploads.take(request, caller)
    await request.answer_json(await repeatable_in_scope(caller.tenant_id, as_openai, file))


async def listed(request: Request) -> None:
    caller = await address_counted_caller(request, Scope.BATCH)
    rows, page = File.objects.whole(), lists.query(request)
    if (purpose := page.pop("purpose", None)) is not None:
        if purpose not in PURPOSES:
            raise must_be("purpose", f"one of {', '.join(PURPOSES)}")
        rows = rows.filter(purpose=purpose)
    listing = partial(lists.listed, caller, rows, as_openai, page, BOUNDS)
    await request.answer_json(await repeatable_in_scope(caller.tenant_id, listing))


async def retrieve(request: Request, file_id: str) -> None:
    caller = await address_counted_caller(request, Scope.BATCH)
    file = await own_file(request.call, caller, file_id)
    await request.answer_json(await repeatable_in_scope(caller.tenant_id, as_openai, file))


async def content(request: Request, file_id: str) -> None:
    caller = await address_counted_caller(request, Scope.BATCH)
    file = await own_file(request.call, caller, file_id)
    by = caller.actor, network(request.call.client_ip)
    pieces = await repeatable_in_scope(caller.tenant_id, _opened, file, *by)
    await request.start(200, [*BYTES, (b"content-length", b"%d" % file.size)])
    for number in range(pieces.count):
        await request.write(await database_sync_to_async(pieces.piece)(number))
    await request.write(b"", more=False)


async def delete(request: Request, file_id: str) -> None:
    caller = await address_counted_caller(request, Scope.BATCH)
    file = await own_file(request.call, caller, file_id)
    by = caller.actor, network(request.call.client_ip)
    await repeatable_in_scope(caller.tenant_id, _Deletion(file, *by))
    deleted = {"id": file.public_id, "object": "file", "deleted": True}
    await request.answer_json(deleted)


async def own_file(call: Call, caller: Caller, file_id: str, param: str | None = None) -> File:
    """Returns the caller's file. Raises NotFound."""
    pk, refusal = stored_objects.parsed_id(file_id, PREFIX), no_such_file(param)
    return await own(call, caller, File.objects.whole(), pk, refusal, refusal.code)


def no_such_file(param: str | None = None) -> NotFound:
    return NotFound("there is no such file", code="file_not_found", param=param)


def _opened(file: File, by: str, client_net: str | None) -> FileReader:
    """Returns a reader. The access is recorded before the first byte, each attempt once."""
    try:
        pieces = FileReader(file)
    except Unreadable:
        raise NotFound("the content has been erased", code="file_not_found") from None
    on_record(Action.FILE_READ, file, by, client_net)
    return pieces


class _Deletion:
    """Deletes a file. After a commit that was cut off it is gone, or still there."""

    def __init__(self, file: File, by: str, client_net: str | None) -> None:
        self._file, self._by, self._client_net = file, by, client_net
        self._began = False

    def __call__(self) -> None:
        if not lock_if_whole(self._file):
            if self._began:
                return
            raise no_such_file()
        if is_in_use(self._file):
            raise Conflict(
                "a batch or a job is under way with this file; cancel it first", code="file_in_use"
            )
        self._began = True
        try:
            file_store.delete(self._file, self._by, self._client_net)
        except OnHold:
            text = "a legal hold keeps this file: it cannot be deleted before that ends"
            raise Conflict(text, code="on_hold") from None


def as_openai(file: File) -> dict[str, Any]:
    return {
        "id": file.public_id,
        "object": "file",
        "bytes": file.size,
        "created_at": int(file.created_at.timestamp()),
        "expires_at": int(file.expires_at.timestamp()) if file.expires_at else None,
        "filename": known_name(file),
        "purpose": file.purpose,
        "status": "processed",
        "status_details": None,
    }
