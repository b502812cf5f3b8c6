"""`/v1/uploads`: a file that is uploaded in parts (OpenAI, Uploads), for poor connections."""

from collections.abc import Callable
from typing import Any
from uuid import UUID

import orjson
from channels.db import database_sync_to_async
from django.conf import settings

from audit.keys.keyring import Barred, Unreadable
from inference.api.http.callers import creator, reader
from inference.api.http.request import Request
from inference.api.openai import expiry, files, uploads
from inference.api.openai.owners import owner_of
from inference.api.stream_resumption import readable
from inference.batch import upload_parts
from inference.batch.encryption import name_of
from inference.batch.file_room import FileGone, TooManyFiles
from inference.batch.upload_parts import NoSuchPart, OtherContent, OtherSize
from inference.errors import BadRequest, Forbidden, NotFound
from inference.intake.access.revocation import RESTRICTED, RESTRICTED_TEXT
from inference.intake.refusals import denied
from inference.models import File, FilePurpose
from inference.models.file import IN_PARTS
from inference.validation import requests
from tenants.caller import Caller
from tenants.key_scopes import Scope
from tenants.scope import tenant_scope

UPLOAD, PART = "upload_", "part_"
MOST_PARTS = 10_000
_FIELDS = {"bytes", "filename", "mime_type", "purpose", "expires_after"}


async def create(request: Request) -> None:
    caller = await creator(request, Scope.BATCH)
    body = requests.parsed(await request.body())
    name, size = _checked(body)
    after_s = expiry.of_json(body.get("expires_after"), "expires_after")
    owner = owner_of(caller, request.call.client_ip)
    upload = await _in_thread(lambda: upload_parts.begin(owner, name, size, after_s))
    await _answer(request, _as_openai(upload, name, "pending"))


async def add_part(request: Request, upload_id: str) -> None:
    caller = await creator(request, Scope.BATCH)
    upload = await _own(request, caller, upload_id)
    part = await uploads.take_part(request, caller, upload)
    fields = {
        "id": f"{PART}{part.id.hex}",
        "object": "upload.part",
        "created_at": int(part.created_at.timestamp()),
        "upload_id": _public(upload),
    }
    await _answer(request, fields)


async def complete(request: Request, upload_id: str) -> None:
    caller = await creator(request, Scope.BATCH)
    upload = await _own(request, caller, upload_id)
    part_ids, checksum = _parts_of(requests.parsed(await request.body()))
    owner = owner_of(caller, request.call.client_ip)
    name = await _in_thread(lambda: name_of(upload))
    async with uploads.counted(caller):
        file = await _in_thread(lambda: upload_parts.complete(upload, part_ids, owner, checksum))
    fields = _as_openai(upload, name, "completed")
    await _answer(request, fields | {"file": await files.scoped_as_openai(caller, file)})


async def cancel(request: Request, upload_id: str) -> None:
    caller = await reader(request, Scope.BATCH)
    upload = await _own(request, caller, upload_id)
    name = await _in_thread(lambda: name_of(upload))
    await _cancel(caller, upload)
    await _answer(request, _as_openai(upload, name, "cancelled"))


# The request --------------------------------------------------------------------------------------
def _checked(body: dict[str, Any]) -> tuple[str, int]:
    """Returns name and size. Raises BadRequest."""
    if unknown := set(body) - _FIELDS:
        name = min(unknown)
        raise BadRequest(f"`{name}` is not supported", param=name)
    for field in ("filename", "mime_type"):
        text = body.get(field)
        if not isinstance(text, str) or not 1 <= len(text) <= uploads.LONGEST_NAME:
            most = uploads.LONGEST_NAME
            raise BadRequest(f"`{field}` must be a text of 1 to {most} characters", param=field)
    if body.get("purpose") != FilePurpose.BATCH:
        raise BadRequest("`purpose` must be batch", param="purpose")
    size = body.get("bytes")
    if type(size) is not int or not 1 <= size <= settings.FILE_BYTES:
        raise BadRequest(f"`bytes` must be a number from 1 to {settings.FILE_BYTES}", param="bytes")
    return body["filename"], size


def _parts_of(body: dict[str, Any]) -> tuple[list[UUID], str]:
    """Returns the parts' ids, and the checksum or "". Raises BadRequest."""
    if unknown := set(body) - {"part_ids", "md5"}:
        name = min(unknown)
        raise BadRequest(f"`{name}` is not supported", param=name)
    ids, checksum = body.get("part_ids"), body.get("md5")
    if not isinstance(ids, list) or not 1 <= len(ids) <= MOST_PARTS:
        raise BadRequest("`part_ids` must be a list of the parts' ids", param="part_ids")
    if checksum is not None and not isinstance(checksum, str):
        raise BadRequest("`md5` must be a text", param="md5")
    part_ids = [files.parsed_id(each, PART) for each in ids if isinstance(each, str)]
    if len(part_ids) < len(ids):
        raise BadRequest("`part_ids` must be a list of the parts' ids", param="part_ids")
    return part_ids, checksum or ""


async def _own(request: Request, caller: Caller, upload_id: str) -> File:
    """Returns the caller's upload. Raises NotFound, and records an attempt at another's."""
    upload = await _find(caller, files.parsed_id(upload_id, UPLOAD))
    if upload is None:
        call = request.call
        where = call.context, caller, call.route, call.client_ip
        denied(*where, status=404, code="upload_not_found")
        raise NotFound(
            "there is no such upload: it is complete or cancelled, or its hour is over",
            code="upload_not_found",
        )
    return upload


@database_sync_to_async
def _find(caller: Caller, pk: UUID) -> File | None:
    with tenant_scope(caller.tenant_id):
        return readable(File.objects.pending(), caller).filter(pk=pk).first()


@database_sync_to_async
def _cancel(caller: Caller, upload: File) -> None:
    with tenant_scope(caller.tenant_id):
        upload_parts.cancel(upload)


async def _in_thread(work: Callable[[], Any]) -> Any:
    """Run it in a thread. Raises ApiError."""
    try:
        return await uploads.in_thread(work)
    except NoSuchPart:
        raise BadRequest(
            "`part_ids` names a part that this upload does not have, or one twice", param="part_ids"
        ) from None
    except OtherSize as sizes:
        raise BadRequest(
            f"the parts have {sizes.actual_size} bytes, which is not what was said when the upload "
            "began",
            param="part_ids",
        ) from None
    except OtherContent:
        raise BadRequest("the parts have another MD5", param="md5") from None
    except (FileGone, Unreadable):
        raise NotFound("the upload is over already", code="upload_not_found") from None
    except TooManyFiles:
        raise uploads.too_many_files() from None
    except Barred:
        raise Forbidden(RESTRICTED_TEXT, code=RESTRICTED) from None


# The answer ---------------------------------------------------------------------------------------
async def _answer(request: Request, fields: dict[str, Any]) -> None:
    await request.answer(orjson.dumps(fields))


def _public(upload: File) -> str:
    return f"{UPLOAD}{upload.id.hex}"


def _as_openai(upload: File, name: str, status: str) -> dict[str, Any]:
    return {
        "id": _public(upload),
        "object": "upload",
        "bytes": upload.declared_size,
        "created_at": int(upload.created_at.timestamp()),
        "expires_at": int((upload.created_at + IN_PARTS).timestamp()),
        "filename": name,
        "purpose": upload.purpose,
        "status": status,
        "file": None,
    }
