"""When a key was last used: written now and then, for all keys at once, and at the end."""

import asyncio
from datetime import timedelta
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from channels.db import database_sync_to_async as in_database
from django.utils import timezone

from tenants.authentication import last_used as module
from tenants.authentication.authenticator import Authenticator
from tenants.authentication.last_used import LastUsed
from tenants.models import ApiKey, Tenant


async def last_used(key: ApiKey) -> Any:
    return (await in_database(ApiKey.objects.get)(pk=key.pk)).last_used_at


async def test_a_request_does_not_write_it(
    authenticator: Authenticator, key: tuple[ApiKey, str]
) -> None:
    for _ in range(20):
        await authenticator.by_key(key[1])
    await asyncio.sleep(0.2)
    assert await last_used(key[0]) is None
    await authenticator.close()
    used = await last_used(key[0])
    assert timezone.now() - used < timedelta(seconds=5)


async def test_one_statement_for_all_that_came_meanwhile(
    dsn: str, acme: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "EVERY_S", 0.3)
    connects, connect = 0, psycopg.AsyncConnection.connect

    async def counted(*arguments: Any, **options: Any) -> Any:
        nonlocal connects
        connects += 1
        return await connect(*arguments, **options)

    monkeypatch.setattr(psycopg.AsyncConnection, "connect", counted)
    issue = in_database(lambda n: ApiKey.issue(acme, f"k{n}", by="test")[0])
    keys = [await issue(n) for n in range(5)]
    used = LastUsed(dsn)
    for _ in range(50):
        for key in keys:
            used.note(key.id)
    used.note(uuid4())  # of a key that has been deleted
    await asyncio.sleep(0.8)
    assert connects == 1
    assert all([await last_used(key) for key in keys])
    await used.close()
    assert connects == 1


async def test_it_waits_for_nobody_who_changes_the_key(
    dsn: str, acme: Tenant, key: tuple[ApiKey, str]
) -> None:
    used = LastUsed(dsn)
    async with await psycopg.AsyncConnection.connect(dsn) as other:
        await other.execute("select from tenants_apikey for update")
        used.note(key[0].id)
        await asyncio.wait_for(used.close(), 1)
    assert await last_used(key[0]) is None


async def test_without_the_database_it_is_kept_for_the_next_time(
    dsn: str, key: tuple[ApiKey, str]
) -> None:
    used = LastUsed("postgres://nobody@127.0.0.1:1/nothing")
    used.note(key[0].id)
    await used.close()
    assert await last_used(key[0]) is None
    used._dsn = dsn
    await used.close()
    assert await last_used(key[0])
