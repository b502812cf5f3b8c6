"""`Idempotency-Key` of a batch or a job: what is asked for twice is created once.

The key is taken in the transaction that creates, so that one cannot be stored without the other.
"""

import hmac
from collections.abc import Callable, Mapping
from typing import Any
from uuid import UUID, uuid4

from django.utils import timezone

from inference.api.http.request import Request
from inference.api.idempotency import REPLAYED, owner_of
from inference.api.ownership import repeatable_in_scope
from inference.api.replay import answer_gone
from inference.errors import KeyReused
from inference.intake.idempotency_claim import HEADER, Claim
from inference.models import IdempotencyKey
from tenants.caller import Caller

Shown = dict[str, Any]


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
    key, pk = request.header_or_none(HEADER), uuid4()
    if key is None:
        created = await repeatable_in_scope(caller.tenant_id, create, pk)
        return await request.answer_json(created)
    claim = Claim.of(key, request.path, dict(body))

    def create_once() -> tuple[Shown | None, UUID]:
        taken_by = _take(caller, claim, pk)
        return create(pk) if taken_by == pk else earlier(caller, taken_by), taken_by

    shown, taken_by = await repeatable_in_scope(caller.tenant_id, create_once)
    if shown is None:
        raise answer_gone("it is gone, or of a person whose texts this API key may not read")
    if taken_by != pk:
        request.call.headers.append(REPLAYED)
    return await request.answer_json(shown)


def _take(caller: Caller, claim: Claim, pk: UUID) -> UUID:
    """Takes the key for what is created under `pk`, in the tenant's scope and transaction.

    Returns `pk`, or the id that the same request was given less than 24 hours ago. Raises
    KeyReused.
    """
    fields = {"tenant_id": caller.tenant_id, "owner": owner_of(caller), "key": claim.key}
    new = {"body": claim.body, "completion_id": pk, "created_at": timezone.now()}
    # It waits for another transaction that takes the key.
    IdempotencyKey.objects.bulk_create([IdempotencyKey(**fields, **new)], ignore_conflicts=True)
    row = IdempotencyKey.objects.select_for_update().get(**fields)
    if row.is_over:
        IdempotencyKey.objects.filter(pk=row.pk).update(**new)
        return pk
    if not hmac.compare_digest(bytes(row.body), claim.body):
        raise KeyReused(
            f"this {HEADER} was sent with another request less than 24 hours ago; send a new "
            "request with a new key, or the same request again",
            param=HEADER,
        )
    return row.completion_id
