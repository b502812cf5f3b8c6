"""Reads recorded requests, which are encrypted."""

import asyncio
import logging
from contextlib import suppress
from uuid import UUID

import msgspec
import psycopg
from django.db import DatabaseError

from audit.keys.keyring import Unreadable, keyring
from audit.models import Payload
from inference.order import Order, unpacked
from inference.record import request_rows
from infrastructure.postgres.resilient_connection import Connection, ResilientConnection

log = logging.getLogger(__name__)


_ENCRYPTED = """
    select data_key_id, ciphertext from audit_payload
    where request_id = %s and field = 'request' limit 1"""


class EncryptedRequests:
    """Reads many over a permanent connection, in binary, which halves the bytes."""

    def __init__(self, dsn: str) -> None:
        self._connection, self._turn = ResilientConnection(dsn), asyncio.Lock()

    async def read(self, request_id: UUID) -> bytes:
        """Returns key id and ciphertext (`request_rows.encrypted_order`).

        Raises Unreadable if it is erased, DatabaseError.
        """

        async def query(connection: Connection) -> tuple[UUID, bytes] | None:
            cursor = connection.cursor(binary=True)
            await cursor.execute(_ENCRYPTED, (request_id,), prepare=True)
            return await cursor.fetchone()

        async with self._turn:
            try:
                row = await self._connection.ask(query)
            except (psycopg.Error, OSError) as problem:
                await self._connection.close()
                raise DatabaseError(str(problem)) from problem
        if row is None:
            raise Unreadable(f"request {request_id} is not on record")
        key_id, ciphertext = row
        return key_id.bytes + ciphertext

    async def close(self) -> None:
        await self._connection.close()


def recorded_answer(order: Order) -> bytes | None:
    """Returns the answer as the record has it; None if there is none, or it has been erased."""
    payload = Payload.objects.filter(request_id=order.id, field="response").first()
    with suppress(Unreadable):
        if payload:
            cipher = keyring.by_id_now(payload.data_key_id)
            return cipher.decrypt(bytes(payload.ciphertext), request_rows.aad(order, "response"))
    return None


def recorded_order(completion_id: UUID) -> tuple[bytes, Order] | None:
    """Returns the ciphertext and the order as received; None if its text has been erased."""
    payload = Payload.objects.filter(request_id=completion_id, field="request").first()
    if payload is None:
        return None
    aad = request_rows.request_aad(payload.tenant_id.bytes, completion_id.bytes)
    try:
        text = keyring.by_id_now(payload.data_key_id).decrypt(bytes(payload.ciphertext), aad)
        return payload.data_key_id.bytes + bytes(payload.ciphertext), unpacked(text)
    except (Unreadable, msgspec.DecodeError) as problem:
        log.error("cannot read request %s: %s", completion_id, problem)
        return None
