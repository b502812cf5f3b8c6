"""`/v1/batches`: files of requests that run within a day, when there is room (OpenAI, Batch)."""

from functools import partial
from typing import Any
from uuid import UUID

from django.conf import settings

from audit.keys.keyring import Barred
from audit.trail.truncated_address import network
from inference.api.http import lists
from inference.api.http.callers import address_counted_caller, counted_caller
from inference.api.http.request import Request
from inference.api.openai import creation_key, files, stored_objects
from inference.api.ownership import own, readable, repeatable_in_scope
from inference.batch import actions
from inference.batch.encryption import known_metadata
from inference.batch.file_storage_limit import FileGone, StorageFull
from inference.batch.file_store import FileOwner
from inference.batch.input_lines import ENDPOINTS
from inference.engines.fields import METADATA, Fields, one_of, only, optional
from inference.errors import BadRequest, Conflict, LimitReached, NotFound
from inference.models import Batch, BatchState, File, FilePurpose
from inference.validation import requests
from tenants.caller import Caller
from tenants.key_scopes import Scope

PREFIX = "batch_"
BOUNDS = PREFIX, 20, 100  # of a list
COMPLETION_WINDOW = "24h"
EXPIRY = "output_expires_after"
FIELDS: Fields = {
    "input_file_id": stored_objects.FILE_ID,
    "endpoint": one_of(*ENDPOINTS),
    "completion_window": only(COMPLETION_WINDOW, COMPLETION_WINDOW),
    "metadata": optional(METADATA),
}
_COUNTS = ("total", "completed", "failed")
_ENDS = (BatchState.COMPLETED, BatchState.FAILED, BatchState.EXPIRED, BatchState.CANCELLED)


async def create(request: Request) -> None:
    caller = await counted_caller(request, Scope.BATCH)
    body = requests.parsed(await request.body())
    stored_objects.check_fields(body, FIELDS, (EXPIRY,))
    expires_after_s = stored_objects.expiry_in_json(body, EXPIRY)
    if await creation_key.answered_by_key(request, caller, body, _earlier):
        return
    file = await files.own_file(request.call, caller, body["input_file_id"], "input_file_id")
    if file.purpose != FilePurpose.BATCH:
        raise BadRequest("the file's purpose must be batch", param="input_file_id")
    owner = stored_objects.owner_of(caller, request.call.client_ip)
    create = partial(_create, owner, file, body, expires_after_s)
    await creation_key.answer_created(request, caller, body, create, _earlier)


async def listed(request: Request) -> None:
    caller = await address_counted_caller(request, Scope.BATCH)
    rows, page = Batch.objects.all(), lists.query(request)
    listing = partial(lists.listed, caller, rows, _as_openai, page, BOUNDS)
    await request.answer_json(await repeatable_in_scope(caller.tenant_id, listing))


async def retrieve(request: Request, batch_id: str) -> None:
    caller = await address_counted_caller(request, Scope.BATCH)
    batch = await _own(request, caller, batch_id)
    await request.answer_json(await repeatable_in_scope(caller.tenant_id, _as_openai, batch))


async def cancel(request: Request, batch_id: str) -> None:
    caller = await address_counted_caller(request, Scope.BATCH)
    batch = await _own(request, caller, batch_id)
    by = caller.actor, network(request.call.client_ip)
    await request.answer_json(await repeatable_in_scope(caller.tenant_id, _cancel, batch, *by))


async def _own(request: Request, caller: Caller, batch_id: str) -> Batch:
    pk, code = stored_objects.parsed_id(batch_id, PREFIX), "batch_not_found"
    refusal = NotFound("there is no such batch", code=code)
    return await own(request.call, caller, Batch.objects.all(), pk, refusal, code)


def _earlier(caller: Caller, pk: UUID) -> dict[str, Any] | None:
    batch = readable(Batch.objects.all(), caller).filter(pk=pk).first()
    return _as_openai(batch) if batch else None


def _create(
    owner: FileOwner, file: File, body: dict[str, Any], expires_after_s: int | None, pk: UUID
) -> dict[str, Any]:
    endpoint, metadata = body["endpoint"], body.get("metadata")
    try:
        return _as_openai(actions.create(owner, file, endpoint, metadata, expires_after_s, pk))
    except FileGone:
        raise files.no_such_file("input_file_id") from None
    except actions.TooMany:
        under_way = f"{settings.BATCHES_UNDER_WAY} batches of this tenant are under way"
        raise LimitReached(
            f"{under_way}, which is the most", code="too_many_batches", retry_after=60
        ) from None
    except (StorageFull, Barred) as problem:
        raise stored_objects.storing_error(problem) from None


def _cancel(batch: Batch, by: str, client_net: str | None) -> dict[str, Any]:
    if not actions.cancel(batch, by, client_net):
        raise Conflict(f"the batch is {batch.state}: it is too late to cancel it")
    return _as_openai(batch)


def _as_openai(batch: Batch) -> dict[str, Any]:
    ended_at = _unix(batch.ended_at)
    ended = {f"{state}_at": ended_at if batch.state == state else None for state in _ENDS}
    return {
        "id": batch.public_id,
        "object": "batch",
        "endpoint": batch.endpoint,
        "errors": {"object": "list", "data": batch.problems} if batch.problems else None,
        "input_file_id": f"file-{batch.input_file_id.hex}",
        "completion_window": COMPLETION_WINDOW,
        "status": batch.state,
        "output_file_id": batch.output_file_id and f"file-{batch.output_file_id.hex}",
        "error_file_id": batch.error_file_id and f"file-{batch.error_file_id.hex}",
        "created_at": _unix(batch.created_at),
        "in_progress_at": _unix(batch.in_progress_at),
        "expires_at": _unix(batch.expires_at),
        "finalizing_at": _unix(batch.finalizing_at),
        "cancelling_at": _unix(batch.cancelling_at),
        **ended,
        "request_counts": {name: getattr(batch, name) for name in _COUNTS},
        "metadata": known_metadata(batch),
        "model": batch.model or None,
        "usage": batch.usage,
    }


def _unix(moment: Any) -> int | None:
    return int(moment.timestamp()) if moment else None
