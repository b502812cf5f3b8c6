"""Strangers who ask for pages over hundreds of connections take no one else's."""

import asyncio
import json
from collections import Counter

import httpx
import psycopg
import pytest

from tests.e2e.conftest import Platform
from tests.e2e.test_limits import key_of, new_tenant

pytestmark = pytest.mark.e2e
CONNECTIONS = 250
EACH = 3
# Of the pages that run at once and of exports, two each, and what the platform itself has open.
MOST_OF_PAGES = 24
_COUNT = "select count(*) from pg_stat_activity where datname = current_database()"


def connected(dsn: str) -> int:
    with psycopg.connect(dsn) as own:
        return int((own.execute(_COUNT).fetchone() or [0])[0])


@pytest.mark.slow(seconds=60)
async def test_a_flood_of_anonymous_pages_starves_neither_database_nor_others(
    staged: Platform,
) -> None:
    running = json.loads((staged.home / "run" / "env.json").read_text())
    dsn = running["DATABASE_URL"]
    tenant = new_tenant(staged)
    key = {"Authorization": f"Bearer {key_of(staged, tenant, '--scope', 'management:read')}"}
    limits = httpx.Limits(max_connections=CONNECTIONS + 10)
    statuses: Counter[int] = Counter()
    most = 0
    async with httpx.AsyncClient(base_url=staged.url, limits=limits, timeout=110) as asking:
        assert (await asking.get("/api/v1/me/", headers=key)).status_code == 200
        before = await asyncio.to_thread(connected, dsn)

        async def flood() -> None:
            for _ in range(EACH):
                statuses[(await asking.get("/welcome/abc/")).status_code] += 1

        flooding = [asyncio.create_task(flood()) for _ in range(CONNECTIONS)]
        others: Counter[tuple[str, int]] = Counter()
        while not all(task.done() for task in flooding):
            for path in ("/api/v1/me/", "/livez", "/readyz"):
                answer = await asking.get(path, headers=key)
                others[path, answer.status_code] += 1
            most = max(most, await asyncio.to_thread(connected, dsn))
        await asyncio.gather(*flooding)
    assert statuses.keys() <= {200, 404, 410, 503}, statuses
    assert sum(statuses.values()) == CONNECTIONS * EACH
    assert {status for (_path, status) in others} == {200}, others
    assert most - before <= MOST_OF_PAGES
