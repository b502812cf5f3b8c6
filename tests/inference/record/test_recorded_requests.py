"""Large requests, read from the record by the runner that is to run them."""

import asyncio
from collections.abc import AsyncIterator
from uuid import UUID, uuid4

import pytest
from channels.db import database_sync_to_async
from django.db import DatabaseError, connection
from psycopg.conninfo import make_conninfo

from audit.keys.keyring import Unreadable
from inference.record.recorded_requests import EncryptedRequests

NAME = "reads-requests"
CIPHERTEXT = bytes(range(256)) * 400


@pytest.fixture
async def recorded(dsn: str) -> AsyncIterator[EncryptedRequests]:
    found = EncryptedRequests(make_conninfo(dsn, application_name=NAME))
    yield found
    await found.close()


@database_sync_to_async
def on_record() -> tuple[UUID, UUID]:
    """Ids of a request and of its key."""
    request_id, key_id = uuid4(), uuid4()
    with connection.cursor() as cursor:
        cursor.execute(
            "insert into audit_payload (at, tenant_id, request_id, field, data_key_id, ciphertext)"
            " values (now(), %s, %s, 'request', %s, %s)",
            [uuid4(), request_id, key_id, CIPHERTEXT],
        )
    return request_id, key_id


@database_sync_to_async
def ended() -> int:
    """How many connections there were."""
    with connection.cursor() as cursor:
        cursor.execute(
            "select pg_terminate_backend(pid) from pg_stat_activity where application_name = %s",
            [NAME],
        )
        return int(cursor.rowcount)


async def test_many_at_once_come_over_one_connection(recorded: EncryptedRequests) -> None:
    asked = [await on_record() for _ in range(5)]
    found = await asyncio.gather(*(recorded.read(request_id) for request_id, _ in asked))
    assert found == [key_id.bytes + CIPHERTEXT for _, key_id in asked]
    assert await ended() == 1


async def test_a_connection_that_died_is_replaced(recorded: EncryptedRequests) -> None:
    request_id, key_id = await on_record()
    await recorded.read(request_id)
    assert await ended() == 1
    assert await recorded.read(request_id) == key_id.bytes + CIPHERTEXT


async def test_what_is_not_on_record_cannot_be_read(recorded: EncryptedRequests) -> None:
    with pytest.raises(Unreadable):
        await recorded.read(uuid4())


async def test_a_database_that_is_away_is_not_taken_for_an_erasure(dsn: str) -> None:
    """The runner waits for it (`Runner._patiently`)."""
    recorded = EncryptedRequests(make_conninfo(dsn, host="127.0.0.1", port=1))
    with pytest.raises(DatabaseError):
        await recorded.read(uuid4())
    await recorded.close()
