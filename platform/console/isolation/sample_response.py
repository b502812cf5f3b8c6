"""A stored response with the tenant's secret word in its texts."""

import time
from uuid import UUID

import orjson
from django.utils import timezone

from audit.keys.keyring import keyring
from audit.models import Payload
from inference.batch.file_store import FileOwner
from inference.models import StoredResponse
from inference.order import Order, Stored, packed
from inference.record import request_rows

_HEAD = {"tools": [], "reasoning": {"effort": None, "summary": None}}


def of_completion(completion_id: UUID, owner: FileOwner, secret: str) -> UUID:
    """Make the response of a completion that is done. Returns its id."""
    now, order = timezone.now(), _order(completion_id, owner, secret)
    cipher = keyring.of_subject_now(owner.tenant_id, owner.subject_id)
    for field, text in (("request", packed(order)), ("response", _answer(secret))):
        Payload.objects.create(
            at=now,
            tenant_id=owner.tenant_id,
            request_id=completion_id,
            field=field,
            data_key_id=cipher.key_id,
            ciphertext=cipher.encrypt(text, request_rows.aad(order, field)),
        )
    return StoredResponse.objects.create(
        id=completion_id,
        tenant_id=owner.tenant_id,
        api_key_id=owner.api_key_id,
        subject_id=owner.subject_id,
        background=True,
        created_at=now,
    ).pk


def _order(completion_id: UUID, owner: FileOwner, secret: str) -> Order:
    item = {"id": "msg_1", "type": "message", "role": "user", "content": secret}
    head = {"head": {**_HEAD, "instructions": secret}, "packs_thoughts": False}
    return Order(
        id=completion_id,
        tenant_id=owner.tenant_id,
        subject_id=owner.subject_id,
        actor=owner.actor,
        client_ip="",
        model=secret,
        route="/v1/responses",
        chat=True,
        stream=False,
        include_usage=False,
        reply_to="",
        outlives_reader=True,
        body=b"{}",
        created_at=time.time(),
        deadline=time.time(),
        estimate=1,
        weight=1,
        stored=Stored(orjson.dumps([item]), orjson.dumps(head), background=True),
    )


def _answer(secret: str) -> bytes:
    message = {"role": "assistant", "content": secret}
    choices = [{"index": 0, "message": message, "finish_reason": "stop"}]
    return orjson.dumps({"object": "chat.completion", "model": secret, "choices": choices})
