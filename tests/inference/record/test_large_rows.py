"""Large requests go on record with their texts in binary, beside their rows."""

import asyncio
from hashlib import sha256

import pytest
from channels.db import database_sync_to_async

from audit.keys.keyring import keyring
from audit.models import Event, Payload
from audit.trail.group_commit import GroupCommit
from inference.order import Order, unpacked
from inference.record import request_rows, sql_statements
from tenants.models import Tenant
from tests.inference.orders import an_order


@pytest.mark.parametrize("lengths", [(300_000,), (300_000, 10, 200_000, 10), (10, 131_000, 10)])
async def test_large_and_small_ones_of_a_tenant_are_what_was_asked(
    dsn: str, acme: Tenant, lengths: tuple[int, ...]
) -> None:
    store = GroupCommit(
        dsn, sql_statements.RECEIVED, patience_s=10, with_texts=sql_statements.RECEIVED_WITH_TEXTS
    )
    orders = [an_order(tenant_id=acme.id, body=b"x" * length) for length in lengths]
    await asyncio.gather(*[_write(store, order) for order in orders])
    await store.close()
    for order in orders:
        assert await database_sync_to_async(_on_record)(order) == order


async def _write(store: GroupCommit, order: Order) -> None:
    cipher = await keyring.of_subject(order.tenant_id, order.subject_id)
    await store.write(request_rows.received_row(order, request_rows.encrypted_order(order, cipher)))


def _on_record(order: Order) -> Order:
    payload = Payload.objects.get(request_id=order.id)
    event = Event.objects.get(request_id=order.id)
    assert event.payload_sha256
    assert bytes(event.payload_sha256) == sha256(payload.ciphertext).digest()
    cipher = keyring.by_id_now(payload.data_key_id)
    return unpacked(cipher.decrypt(bytes(payload.ciphertext), request_rows.aad(order, "request")))
