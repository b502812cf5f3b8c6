"""`/v1/batches`: files of requests that run within a day, when there is room (OpenAI, Batch)."""

from dataclasses import dataclass
from typing import Any

import orjson
from channels.db import database_sync_to_async
from django.conf import settings

from audit.keys.keyring import Barred, Unreadable
from audit.trail.network import network
from inference.api.http.callers import creator, reader
from inference.api.http.request import Request
from inference.api.openai import expiry, files, uploads
from inference.api.openai.listing import Page, parsed_page
from inference.api.openai.owners import owner_of
from inference.api.stream_resumption import readable
from inference.batch import actions
from inference.batch.encryption import metadata_of
from inference.batch.file_room import FileGone, StorageFull
from inference.batch.input_lines import ENDPOINTS
from inference.errors import ApiError, BadRequest, Conflict, Forbidden, LimitReached, NotFound
from inference.intake.access.revocation import RESTRICTED, RESTRICTED_TEXT
from inference.intake.refusals import denied
from inference.models import Batch, BatchState, File, FilePurpose
from inference.validation import requests
from tenants.caller import Caller
from tenants.key_scopes import Scope
from tenants.scope import tenant_scope

LISTED, MOST_LISTED = 20, 100
COMPLETION_WINDOW = "24h"
_FIELDS = {
    "input_file_id",
    "endpoint",
    "completion_window",
    "metadata",
    "output_expires_after",
}
_EXPIRY = "output_expires_after"
MOST_PAIRS, LONGEST_KEY, LONGEST_VALUE = 16, 64, 512


@dataclass(frozen=True, slots=True)
class _NewBatch:
    input_file_id: str
    endpoint: str
    metadata: dict[str, str] | None
    output_expires_after_s: int | None


async def create(request: Request) -> None:
    caller = await creator(request, Scope.BATCH)
    new = _parse(requests.parsed(await request.body()))
    file = await files.own(request.call, caller, new.input_file_id, "input_file_id")
    if file.purpose != FilePurpose.BATCH:
        raise BadRequest("the file's purpose must be batch", param="input_file_id")
    await request.answer(orjson.dumps(await _create(caller, file, new, request.call.client_ip)))


async def listed(request: Request) -> None:
    caller = await reader(request, Scope.BATCH)
    page = parsed_page(request, "batch_", default=LISTED, most=MOST_LISTED)
    await request.answer(orjson.dumps(await _list(caller, page)))


async def retrieve(request: Request, batch_id: str) -> None:
    caller = await reader(request, Scope.BATCH)
    batch = await _own(request, caller, batch_id)
    await request.answer(orjson.dumps(await _scoped_as_openai(caller, batch)))


async def cancel(request: Request, batch_id: str) -> None:
    caller = await reader(request, Scope.BATCH)
    batch = await _own(request, caller, batch_id)
    await request.answer(orjson.dumps(await _cancel(caller, batch, request.call.client_ip)))


# The request --------------------------------------------------------------------------------------
def _parse(body: dict[str, Any]) -> _NewBatch:
    """Parse the body. Raises BadRequest."""
    if unknown := set(body) - _FIELDS:
        name = min(unknown)
        raise BadRequest(f"`{name}` is not supported", param=name)
    if not isinstance(body.get("input_file_id"), str):
        raise BadRequest("`input_file_id` must be the id of a file", param="input_file_id")
    if body.get("endpoint") not in list(ENDPOINTS):
        raise BadRequest(f"`endpoint` must be one of {', '.join(ENDPOINTS)}", param="endpoint")
    if body.get("completion_window") != COMPLETION_WINDOW:
        raise BadRequest(
            f"`completion_window` must be {COMPLETION_WINDOW}", param="completion_window"
        )
    return _NewBatch(
        body["input_file_id"],
        body["endpoint"],
        _metadata(body.get("metadata")),
        expiry.of_json(body.get(_EXPIRY), _EXPIRY),
    )


def _metadata(metadata: Any) -> dict[str, str] | None:
    if metadata is None:
        return None
    pairs = metadata.items() if isinstance(metadata, dict) else ()
    fits = isinstance(metadata, dict) and len(metadata) <= MOST_PAIRS
    fits = fits and all(isinstance(value, str) for _key, value in pairs)
    if not fits or any(len(k) > LONGEST_KEY or len(v) > LONGEST_VALUE for k, v in pairs):
        raise BadRequest(
            f"`metadata` must have at most {MOST_PAIRS} texts, with names of {LONGEST_KEY} and "
            f"values of {LONGEST_VALUE} characters",
            param="metadata",
        )
    return dict(metadata)


async def _own(request: Request, caller: Caller, batch_id: str) -> Batch:
    """Returns the caller's batch. Raises NotFound, and records an attempt at another's."""
    call = request.call
    batch = await _find(caller, batch_id)
    if batch is None:
        where = call.context, caller, call.route, call.client_ip
        denied(*where, status=404, code="batch_not_found")
        raise NotFound("there is no such batch", code="batch_not_found")
    return batch


# In the caller's scope ----------------------------------------------------------------------------
@database_sync_to_async
def _find(caller: Caller, batch_id: str) -> Batch | None:
    pk = files.parsed_id(batch_id, "batch_")
    with tenant_scope(caller.tenant_id):
        return readable(Batch.objects.all(), caller).filter(pk=pk).first()


@database_sync_to_async
def _scoped_as_openai(caller: Caller, batch: Batch) -> dict[str, Any]:
    with tenant_scope(caller.tenant_id):
        return _as_openai(batch)


@database_sync_to_async
def _list(caller: Caller, page: Page) -> dict[str, Any]:
    with tenant_scope(caller.tenant_id):
        rows, has_more = page.of(readable(Batch.objects.all(), caller))
        return page.as_openai([_as_openai(batch) for batch in rows], has_more=has_more)


@database_sync_to_async
def _create(caller: Caller, file: File, new: _NewBatch, client_ip: str) -> dict[str, Any]:
    owner = owner_of(caller, client_ip)
    try:
        with tenant_scope(caller.tenant_id):
            batch = actions.create(
                owner, file, new.endpoint, new.metadata, new.output_expires_after_s
            )
            return _as_openai(batch)
    except FileGone:
        raise files.no_such_file("input_file_id") from None
    except actions.TooMany:
        raise _too_many() from None
    except StorageFull as full:
        raise uploads.storage_full(full.stored) from None
    except Barred:
        raise Forbidden(RESTRICTED_TEXT, code=RESTRICTED) from None


def _too_many() -> ApiError:
    most = settings.BATCHES_UNDER_WAY
    return LimitReached(
        f"{most} batches of this tenant are under way, which is the most",
        code="too_many_batches",
        retry_after=60,
    )


@database_sync_to_async
def _cancel(caller: Caller, batch: Batch, client_ip: str) -> dict[str, Any]:
    with tenant_scope(caller.tenant_id):
        if not actions.cancel(batch, caller.actor, network(client_ip)):
            raise Conflict(f"the batch is {batch.state}: it is too late to cancel it")
        return _as_openai(batch)


def _as_openai(batch: Batch) -> dict[str, Any]:
    ended = {f"{state}_at": _seconds(batch, state) for state in _ENDS}
    return {
        "id": batch.public_id,
        "object": "batch",
        "endpoint": batch.endpoint,
        "errors": _errors(batch),
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
        "request_counts": {
            "total": batch.total,
            "completed": batch.completed,
            "failed": batch.failed,
        },
        "metadata": _known_metadata(batch),
        "model": batch.model or None,
        "usage": batch.usage,
    }


_ENDS = (BatchState.COMPLETED, BatchState.FAILED, BatchState.EXPIRED, BatchState.CANCELLED)


def _seconds(batch: Batch, state: BatchState) -> int | None:
    return _unix(batch.ended_at) if batch.state == state else None


def _unix(moment: Any) -> int | None:
    return int(moment.timestamp()) if moment else None


def _errors(batch: Batch) -> dict[str, Any] | None:
    return {"object": "list", "data": batch.problems} if batch.problems else None


def _known_metadata(batch: Batch) -> dict[str, str] | None:
    try:
        return metadata_of(batch)
    except Unreadable:
        return None
