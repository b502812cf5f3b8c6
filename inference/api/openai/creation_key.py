"""`Idempotency-Key` of a batch or a job: what is asked for twice is created once.

The key is taken in the transaction that creates, so that one cannot be stored without the other.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from uuid import UUID, uuid4

import psycopg
from django.db import OperationalError
from django.utils import timezone

from inference.api.http.request import Request
from inference.api.idempotency import REPLAYED, key_in_use, owner_of, refuse_another_request
from inference.api.ownership import repeatable_in_scope
from inference.api.replay import answer_gone
from inference.intake.idempotency_claim import HEADER, Claim
from inference.models import IdempotencyKey
from inference.models.idempotency_key import KEPT
from infrastructure.postgres.queries import rows
from tenants.caller import Caller

Shown = dict[str, Any]
LOCK_S = 2


async def answered_by_key(
    request: Request,
    caller: Caller,
    body: Mapping[str, Any],
    earlier: Callable[[Caller, UUID], Shown | None],
) -> bool:
    """Answer with what the request's key has made already, though its files be gone.

    Returns whether it has. Raises KeyReused, Conflict, BadRequest.
    """
    if (claim := _claim(request, body)) is None:
        return False

    def look_up() -> tuple[Shown | None, bool]:
        key = IdempotencyKey.objects.filter(**_row_of(caller, claim)).first()
        if key is None or key.is_over:
            return None, False
        refuse_another_request(key, claim)
        return earlier(caller, key.completion_id), True

    shown, is_taken = await repeatable_in_scope(caller.tenant_id, look_up)
    if is_taken:
        await _answer_earlier(request, shown)
    return is_taken


async def answer_created(
    request: Request,
    caller: Caller,
    body: Mapping[str, Any],
    create: Callable[[UUID], Shown],
    earlier: Callable[[Caller, UUID], Shown | None],
) -> None:
    """Answer with what `create` makes under an id, or with what the key has made already.

    Both run in the tenant's scope. Raises KeyReused, Conflict, BadRequest and what `create` raises.
    """
    claim, pk = _claim(request, body), uuid4()

    def create_once() -> tuple[Shown | None, UUID]:
        taken_by = _take(caller, claim, pk) if claim else pk
        return create(pk) if taken_by == pk else earlier(caller, taken_by), taken_by

    shown, taken_by = await repeatable_in_scope(caller.tenant_id, create_once)
    if taken_by == pk:
        await request.answer_json(shown)
    else:
        await _answer_earlier(request, shown)


def _claim(request: Request, body: Mapping[str, Any]) -> Claim | None:
    key = request.header_or_none(HEADER)
    return None if key is None else Claim.of(key, request.call.route, dict(body))


async def _answer_earlier(request: Request, shown: Shown | None) -> None:
    if shown is None:
        raise answer_gone("it is gone, or of a person whose texts this API key may not read")
    request.call.headers.append(REPLAYED)
    await request.answer_json(shown)


def _row_of(caller: Caller, claim: Claim) -> dict[str, Any]:
    """Returns the fields that name the key's row, in the tenant's scope."""
    return {"tenant_id": caller.tenant_id, "owner": owner_of(caller), "key": claim.key}


def _take(caller: Caller, claim: Claim, pk: UUID) -> UUID:
    """Takes the key for what is created under `pk`, in the tenant's scope and transaction.

    Returns `pk`, or the id that the same request was given less than 24 hours ago. Raises
    KeyReused; Conflict while another transaction holds the key.
    """
    now, row = timezone.now(), _row_of(caller, claim)
    keys = IdempotencyKey.objects.filter(**row)
    keys.filter(created_at__lte=now - KEPT).delete()
    new = IdempotencyKey(**row, body=claim.body, completion_id=pk, created_at=now)
    with _brief_waits():  # for another transaction that takes the key
        IdempotencyKey.objects.bulk_create([new], ignore_conflicts=True)
    key = keys.get()
    refuse_another_request(key, claim)
    return key.completion_id


@contextmanager
def _brief_waits() -> Iterator[None]:
    """Inside, no lock is waited for longer than `LOCK_S`: threads that wait serve nobody."""
    rows("select set_config('lock_timeout', %s, true)", [f"{LOCK_S}s"])
    try:
        yield
    except OperationalError as problem:
        if isinstance(problem.__cause__, psycopg.errors.LockNotAvailable):
            raise key_in_use() from None
        raise
    rows("select set_config('lock_timeout', '0', true)")
