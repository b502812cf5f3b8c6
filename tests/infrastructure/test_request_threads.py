"""Requests' threads keep their connection, and nothing that was set or locked on it."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from channels.db import database_sync_to_async
from django.db import connection, connections
from pytest_django.fixtures import Settings

from infrastructure.postgres.request_threads import in_request_thread

pytestmark = pytest.mark.django_db(transaction=True)


def row(statement: str) -> Any:
    with connection.cursor() as cursor:
        cursor.execute(statement)
        return cursor.fetchone()


in_thread: Callable[[str], Any] = in_request_thread(row)


@pytest.fixture(autouse=True)
def one_thread(monkeypatch: pytest.MonkeyPatch, settings: Settings) -> Iterator[None]:
    """Requests' own scope, and one thread, so that each use follows another."""
    settings.DATABASE_SCOPE = "none"
    with ThreadPoolExecutor(1) as threads:
        monkeypatch.setattr(in_thread, "_executor", threads)
        yield
        threads.submit(connections.close_all).result()


async def test_a_thread_keeps_its_connection() -> None:
    (first,), (second,) = [await in_thread("select pg_backend_pid()") for _ in range(2)]
    assert first == second


async def test_no_setting_or_lock_stays_on_it() -> None:
    (zone,) = await in_thread("show timezone")
    await in_thread("select set_config('forebay.tenant', 'acme', false)")
    await in_thread("select set_config('TimeZone', 'Asia/Shanghai', false)")
    await in_thread("select pg_advisory_lock(42) is null")
    assert await in_thread("select current_setting('forebay.tenant', true)") in ((None,), ("",))
    assert await in_thread("show timezone") == (zone,)
    locks = "select count(*) from pg_locks where locktype = 'advisory' and objid = 42"
    assert await in_thread(locks) == (0,)


async def test_one_that_the_server_has_ended_is_replaced() -> None:
    (first,) = await in_thread("select pg_backend_pid()")
    ended = database_sync_to_async(row)(f"select pg_terminate_backend({first})")
    assert await ended == (True,)
    (second,) = await in_thread("select pg_backend_pid()")
    assert first != second


async def test_without_a_scope_of_its_own_nothing_is_kept(settings: Settings) -> None:
    settings.DATABASE_SCOPE = "system"
    (first,), (second,) = [await in_thread("select pg_backend_pid()") for _ in range(2)]
    assert first != second
