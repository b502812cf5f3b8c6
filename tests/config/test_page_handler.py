"""A page is made in one thread, over one connection, which goes when it is answered."""

import asyncio

import pytest
from channels.db import database_sync_to_async
from django.conf import settings
from django.db import connection
from django.utils.module_loading import import_string

from console.isolation.asgi_client import AsgiClient
from console.isolation.callers import callers
from console.isolation.throwaway_tenants import Stage


@pytest.mark.django_db(transaction=True)
async def test_an_error_page_leaves_no_connection_behind() -> None:
    client = AsgiClient(import_string(settings.ASGI_APPLICATION), settings.ALLOWED_HOSTS[0])
    owner = callers(await database_sync_to_async(Stage.set)())[0]
    before = await _connections()
    for _ in range(5):
        assert (await client.ask("GET", "/nowhere/", owner.headers)).status == 404
    for _ in range(50):
        if await _connections() <= before:
            return
        await asyncio.sleep(0.1)  # one that has just been closed
    pytest.fail("connections stay open")


@database_sync_to_async
def _connections() -> int:
    """Those of this process, but for the thread that watches for destroyed keys."""
    with connection.cursor() as cursor:
        cursor.execute(
            "select count(*) from pg_stat_activity where datname = current_database()"
            " and usename = current_user and query not like '%audit_keymark%'"
        )
        return int(cursor.fetchone()[0])
