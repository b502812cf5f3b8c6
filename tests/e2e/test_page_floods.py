"""Strangers who ask for pages over hundreds of connections take no one else's."""

import asyncio
import json
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import psycopg
import pytest

from tests.e2e.conftest import Platform
from tests.e2e.test_limits import key_of, new_tenant

pytestmark = [pytest.mark.e2e, pytest.mark.slow(seconds=60)]
CONNECTIONS, TIMES = 250, 3
MOST_OF_PAGES = 24  # connections to PostgreSQL: of 8 pages and 4 exports two each
_COUNT = "select count(*) from pg_stat_activity where datname = current_database()"
ASKED = b"GET /welcome/abc/ HTTP/1.1\r\nHost: localhost\r\nConnection: keep-alive\r\n\r\n"


class Connected:
    """Counts the connections to a database, again and again."""

    def __init__(self, dsn: str) -> None:
        self._link = psycopg.connect(dsn, autocommit=True)
        self.before = self.most = self._count()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()

    def _count(self) -> int:
        return int((self._link.execute(_COUNT).fetchone() or [0])[0])

    def _watch(self) -> None:
        while not self._over.wait(0.02):
            self.most = max(self.most, self._count())

    def stop(self) -> None:
        self._over.set()
        self._thread.join()
        self._link.close()


@contextmanager
def watched(dsn: str) -> Iterator[Connected]:
    connected = Connected(dsn)
    try:
        yield connected
    finally:
        connected.stop()


async def flood(port: int) -> "Counter[int]":
    """All connections are there before the first of them asks."""
    opened = await asyncio.gather(
        *(asyncio.open_connection("127.0.0.1", port) for _ in range(CONNECTIONS))
    )
    for _reader, writer in opened:
        writer.write(ASKED * TIMES)
    answers = await asyncio.gather(*(_statuses(reader) for reader, _writer in opened))
    for _reader, writer in opened:
        writer.close()
    return Counter(status for each in answers for status in each)


async def _statuses(reader: asyncio.StreamReader) -> list[int]:
    statuses: list[int] = []
    while len(statuses) < TIMES and (line := await reader.readline()):
        if line.startswith(b"HTTP/1.1 "):
            statuses.append(int(line.split()[1]))
    return statuses


async def test_a_flood_of_anonymous_pages_starves_neither_database_nor_others(
    staged: Platform,
) -> None:
    dsn = json.loads((staged.home / "run" / "env.json").read_text())["DATABASE_URL"]
    key = key_of(staged, new_tenant(staged), "--scope", "management:read")
    headers = {"Authorization": f"Bearer {key}"}
    others: Counter[tuple[str, int]] = Counter()
    async with httpx.AsyncClient(base_url=staged.url, headers=headers, timeout=60) as asking:
        assert (await asking.get("/api/v1/me/")).status_code == 200
        with watched(dsn) as connected:
            flooding = asyncio.create_task(flood(staged.port))
            while not flooding.done():
                for path in ("/api/v1/me/", "/livez", "/readyz?without=engines"):
                    others[path, (await asking.get(path)).status_code] += 1
            statuses = await flooding
    assert statuses.keys() <= {410, 503}, statuses
    assert {status for (_path, status) in others} == {200}, others
    assert connected.most - connected.before <= MOST_OF_PAGES
