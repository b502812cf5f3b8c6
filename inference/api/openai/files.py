"""`/v1/files`: the stored files of a key, and the results of its batches (OpenAI, Files)."""

from typing import Any
from uuid import UUID

import orjson
from channels.db import database_sync_to_async

from audit.actions import Action
from audit.keys.keyring import Unreadable
from audit.trail.network import network
from inference.api.call import Call
from inference.api.http.callers import creator, reader
from inference.api.http.request import JSON, Request
from inference.api.openai import uploads
from inference.api.openai.listing import Page, parsed_page
from inference.api.stream_resumption import readable
from inference.batch.encryption import name_of
from inference.batch.file_store import FileReader, is_in_use, lock_if_whole, on_record
from inference.errors import BadRequest, Conflict, NotFound
from inference.intake.refusals import denied
from inference.models import File, FilePurpose
from inference.models.file import FileQuerySet
from tenants.caller import Caller
from tenants.key_scopes import Scope
from tenants.scope import tenant_scope

MOST_LISTED = 10_000
NOBODYS = UUID(int=0)
# OpenAI's purposes. Most of them have no files here.
_PURPOSES = (
    *FilePurpose.values,
    "assistants",
    "assistants_output",
    "evals",
    "fine-tune",
    "fine-tune-results",
    "user_data",
    "vision",
)
BYTES = [(b"content-type", b"application/octet-stream")]


async def create(request: Request) -> None:
    caller = await creator(request, Scope.BATCH)
    file = await uploads.take(request, caller)
    await request.answer(orjson.dumps(await scoped_as_openai(caller, file)))


async def listed(request: Request) -> None:
    caller = await reader(request, Scope.BATCH)
    page = parsed_page(
        request, "file-", default=MOST_LISTED, most=MOST_LISTED, filters=frozenset({"purpose"})
    )
    purpose = page.filters.get("purpose")
    if purpose is not None and purpose not in _PURPOSES:
        raise BadRequest(f"`purpose` must be one of {', '.join(_PURPOSES)}", param="purpose")
    await request.answer(orjson.dumps(await _list(caller, page, purpose)))


async def retrieve(request: Request, file_id: str) -> None:
    caller = await reader(request, Scope.BATCH)
    file = await own(request.call, caller, file_id)
    await request.answer(orjson.dumps(await scoped_as_openai(caller, file)))


async def content(request: Request, file_id: str) -> None:
    caller = await reader(request, Scope.BATCH)
    file = await own(request.call, caller, file_id)
    pieces = await _opened(caller, file, request.call.client_ip)
    await request.start(200, [*BYTES, (b"content-length", b"%d" % file.size)])
    for number in range(pieces.count):
        await request.write(await database_sync_to_async(pieces.piece)(number))
    await request.write(b"", more=False)


async def delete(request: Request, file_id: str) -> None:
    caller = await reader(request, Scope.BATCH)
    file = await own(request.call, caller, file_id)
    await _delete(caller, file, request.call.client_ip)
    deleted = {"id": file.public_id, "object": "file", "deleted": True}
    await request.answer(orjson.dumps(deleted), headers=JSON)


async def own(call: Call, caller: Caller, file_id: str, param: str | None = None) -> File:
    """Returns the caller's file. Raises NotFound, and records an attempt at another's."""
    file = await _find(caller, parsed_id(file_id, "file-"))
    if file is None:
        where = call.context, caller, call.route, call.client_ip
        denied(*where, status=404, code="file_not_found")
        raise no_such_file(param)
    return file


def no_such_file(param: str | None = None) -> NotFound:
    return NotFound("there is no such file", code="file_not_found", param=param)


def parsed_id(text: str, prefix: str) -> UUID:
    """Returns the id; NOBODYS, which no file has, if it cannot be one."""
    number = text.removeprefix(prefix)
    if text == number or len(number) not in (32, 36):
        return NOBODYS
    try:
        return UUID(hex=number)
    except ValueError:
        return NOBODYS


def _of(caller: Caller) -> FileQuerySet:
    """Returns the caller's files, in its scope."""
    return readable(File.objects.whole(), caller)


@database_sync_to_async
def _find(caller: Caller, file_id: UUID) -> File | None:
    with tenant_scope(caller.tenant_id):
        return _of(caller).filter(pk=file_id).first()


@database_sync_to_async
def scoped_as_openai(caller: Caller, file: File) -> dict[str, Any]:
    with tenant_scope(caller.tenant_id):
        return _as_openai(file)


@database_sync_to_async
def _list(caller: Caller, page: Page, purpose: str | None) -> dict[str, Any]:
    with tenant_scope(caller.tenant_id):
        files = _of(caller)
        rows, has_more = page.of(files.filter(purpose=purpose) if purpose else files)
        return page.as_openai([_as_openai(file) for file in rows], has_more=has_more)


@database_sync_to_async
def _opened(caller: Caller, file: File, client_ip: str) -> FileReader:
    """Returns a reader. The access is recorded before the first byte."""
    with tenant_scope(caller.tenant_id):
        try:
            pieces = FileReader(file)
        except Unreadable:
            raise NotFound("the content has been erased", code="file_not_found") from None
        on_record(Action.FILE_READ, file, caller.actor, network(client_ip))
    return pieces


@database_sync_to_async
def _delete(caller: Caller, file: File, client_ip: str) -> None:
    with tenant_scope(caller.tenant_id):
        if not lock_if_whole(file):
            raise no_such_file()
        if is_in_use(file):
            raise Conflict(
                "a batch is under way with this file; cancel it first", code="file_in_use"
            )
        on_record(Action.FILE_DELETE, file, caller.actor, network(client_ip))
        File.objects.filter(pk=file.pk).delete()


def _as_openai(file: File) -> dict[str, Any]:
    try:
        name = name_of(file)
    except Unreadable:
        name = ""
    return {
        "id": file.public_id,
        "object": "file",
        "bytes": file.size,
        "created_at": int(file.created_at.timestamp()),
        "expires_at": int(file.expires_at.timestamp()) if file.expires_at else None,
        "filename": name,
        "purpose": file.purpose,
        "status": "processed",
        "status_details": None,
    }
