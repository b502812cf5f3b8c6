"""Stored responses as the record has them, and a process that takes their requests."""

import time
from datetime import timedelta
from typing import Any
from uuid import UUID

import orjson
from django.db import connection

from audit.keys.keyring import keyring
from inference.models import StoredResponse
from inference.order import Order, Stored
from inference.record import request_rows, sql_statements
from inference.record.outcome import Outcome
from tenants.models import ApiKey
from tenants.quotas.charge import Charge
from tests.inference.orders import an_order

WORD = "引水池 the forebay holds the river"
ITEM = {"id": "msg_1", "type": "message", "role": "user", "content": WORD}
HEAD = {"head": {"metadata": {"case": "7"}}, "packs_thoughts": False}
ANSWER: dict[str, Any] = {
    "object": "chat.completion",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "Noted."}}],
}


def a_stored(text: str = WORD, *, background: bool = False) -> Stored:
    return Stored(orjson.dumps([{**ITEM, "content": text}]), orjson.dumps(HEAD), background)


def a_response(
    key: ApiKey, *, over: bool = True, age: timedelta = timedelta(0), **outcome: Any
) -> StoredResponse:
    """Returns a response of the key, stored `age` ago."""
    order = _order(key)
    cipher = keyring.of_subject_now(key.tenant_id, key.subject_id)
    received = request_rows.received_row(order, request_rows.encrypted_order(order, cipher))
    _execute(sql_statements.RECEIVED, received)
    if over:
        end = Outcome(**{"response": orjson.dumps(ANSWER), **outcome})
        _execute(sql_statements.SETTLED, request_rows.settled_row(order, end, cipher, time.time()))
    row = StoredResponse.objects.get(pk=order.id)
    row.created_at -= age
    row.save(update_fields=["created_at"])
    return row


def _order(key: ApiKey) -> Order:
    return an_order(
        tenant_id=key.tenant_id,
        subject_id=key.subject_id,
        actor=key.actor,
        route="/v1/responses",
        charge=Charge(api_key_id=key.pk),
        stored=a_stored(),
    )


def _execute(statement: str, row: dict[str, Any]) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statement, [orjson.dumps([row]).decode()])


def ids(rows: Any) -> set[UUID]:
    return set(rows.values_list("pk", flat=True))
