"""`/v1/uploads`: a file that is uploaded in parts (OpenAI, Uploads), for poor connections."""

from collections.abc import Callable
from typing import Any

from django.conf import settings

from audit.keys.keyring import Barred, Unreadable
from inference.api.http.callers import address_counted_caller, counted_caller
from inference.api.http.request import Request
from inference.api.openai import files, stored_objects, uploads
from inference.api.ownership import own, repeatable_in_scope
from inference.batch import upload_parts
from inference.batch.encryption import name_of
from inference.batch.file_storage_limit import FileGone, TooManyFiles
from inference.batch.upload_parts import NoSuchPart, OtherContent, OtherSize
from inference.engines.fields import FieldRule, Fields, integer, one_of
from inference.errors import BadRequest, NotFound
from inference.models import File, FilePurpose
from inference.models.file import IN_PARTS
from inference.validation import requests
from tenants.caller import Caller
from tenants.key_scopes import Scope

UPLOAD, PART = "upload_", "part_"
MOST_PARTS = 10_000
EXPIRY = "expires_after"
_NAME = FieldRule(
    lambda v: isinstance(v, str) and 1 <= len(v) <= uploads.LONGEST_NAME,
    f"a text of 1 to {uploads.LONGEST_NAME} characters",
    {"type": "string", "minLength": 1, "maxLength": uploads.LONGEST_NAME},
)
PARTS: Fields = {
    "part_ids": FieldRule(
        lambda v: (
            isinstance(v, list)
            and 1 <= len(v) <= MOST_PARTS
            and all(isinstance(each, str) for each in v)
        ),
        "a list of the parts' ids",
        {"type": "array", "items": {"type": "string"}, "minItems": 1, "maxItems": MOST_PARTS},
    ),
    "md5": FieldRule(lambda v: isinstance(v, str | None), "a text", {"type": ["string", "null"]}),
}


def fields() -> Fields:
    """Returns the fields of a new upload. `expires_after` is beside them."""
    purpose, size = one_of(*uploads.UPLOADED), integer(1, settings.LARGEST_FILE_BYTES)
    return {"filename": _NAME, "mime_type": _NAME, "purpose": purpose, "bytes": size}


async def create(request: Request) -> None:
    caller = await counted_caller(request, Scope.BATCH)
    body = requests.parsed(await request.body())
    stored_objects.check_fields(body, fields(), (EXPIRY,))
    kind = FilePurpose(body["purpose"])
    name, size, after_s = (
        body["filename"],
        body["bytes"],
        stored_objects.expiry_in_json(body, EXPIRY),
    )
    owner = stored_objects.owner_of(caller, request.call.client_ip)
    upload = await _in_thread(lambda: upload_parts.begin(owner, name, size, after_s, kind))
    await request.answer_json(_as_openai(upload, name, "pending"))


async def add_part(request: Request, upload_id: str) -> None:
    caller = await counted_caller(request, Scope.BATCH)
    upload = await _own(request, caller, upload_id)
    part = await uploads.take_part(request, caller, upload)
    part_id, created_at = f"{PART}{part.id.hex}", int(part.created_at.timestamp())
    upload_part = {"id": part_id, "object": "upload.part", "created_at": created_at}
    await request.answer_json(upload_part | {"upload_id": _public(upload)})


async def complete(request: Request, upload_id: str) -> None:
    caller = await counted_caller(request, Scope.BATCH)
    upload = await _own(request, caller, upload_id)
    body = requests.parsed(await request.body())
    stored_objects.check_fields(body, PARTS)
    part_ids = [stored_objects.parsed_id(each, PART) for each in body["part_ids"]]
    owner, checksum = stored_objects.owner_of(caller, request.call.client_ip), body.get("md5") or ""
    name = await _in_thread(lambda: name_of(upload))
    async with uploads.counted(caller):
        file = await _in_thread(lambda: upload_parts.complete(upload, part_ids, owner, checksum))
    shown = await repeatable_in_scope(caller.tenant_id, files.as_openai, file)
    await request.answer_json(_as_openai(upload, name, "completed") | {"file": shown})


async def cancel(request: Request, upload_id: str) -> None:
    caller = await address_counted_caller(request, Scope.BATCH)
    upload = await _own(request, caller, upload_id)
    name = await _in_thread(lambda: name_of(upload))
    await repeatable_in_scope(caller.tenant_id, upload_parts.cancel, upload)
    await request.answer_json(_as_openai(upload, name, "cancelled"))


async def _own(request: Request, caller: Caller, upload_id: str) -> File:
    message = "there is no such upload: it is complete or cancelled, or its hour is over"
    pk, code = stored_objects.parsed_id(upload_id, UPLOAD), "upload_not_found"
    refusal = NotFound(message, code=code)
    return await own(request.call, caller, File.objects.pending(), pk, refusal, code)


async def _in_thread(work: Callable[[], Any]) -> Any:
    """Run it in a thread. Raises ApiError."""
    try:
        return await uploads.in_thread(work)
    except NoSuchPart:
        what = "`part_ids` names a part that this upload does not have, or one twice"
        raise BadRequest(what, param="part_ids") from None
    except OtherSize as sizes:
        actual = f"the parts have {sizes.actual_size} bytes"
        what = f"{actual}, which is not what was said when the upload began"
        raise BadRequest(what, param="part_ids") from None
    except OtherContent:
        raise BadRequest("the parts have another MD5", param="md5") from None
    except (FileGone, Unreadable):
        raise NotFound("the upload is over already", code="upload_not_found") from None
    except (TooManyFiles, Barred) as problem:
        raise stored_objects.storing_error(problem) from None


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
