"""Readiness, asked by many at once."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any, cast

import psycopg
import pytest

from inference.api import probes
from inference.intake.context import Context
from infrastructure.postgres.resilient_connection import ResilientConnection
from tests.audit.weak_line import through, weak_line_to_database

NOBODY = cast(Context, cast(Any, None))


async def test_a_flood_of_probes_looks_once(monkeypatch: pytest.MonkeyPatch) -> None:
    looks = []

    async def look(_context: object) -> dict[str, str]:
        looks.append(1)
        await asyncio.sleep(0.05)
        return {"database": "" if len(looks) == 1 else "away"}

    monkeypatch.setattr(probes, "obstacles", look)
    monkeypatch.setattr(probes, "CACHED_S", 0.2)
    answers = await asyncio.gather(*[probes.recent(NOBODY) for _ in range(100)])
    assert answers == [{"database": ""}] * 100
    assert len(looks) == 1
    await asyncio.sleep(0.3)
    assert await probes.recent(NOBODY) == {"database": "away"}
    assert len(looks) == 2


async def test_one_that_hangs_up_takes_nobody_along(monkeypatch: pytest.MonkeyPatch) -> None:
    async def look(_context: object) -> dict[str, str]:
        await asyncio.sleep(0.1)
        return {"database": ""}

    monkeypatch.setattr(probes, "obstacles", look)
    first = asyncio.create_task(probes.recent(NOBODY))
    await asyncio.sleep(0.01)
    second = asyncio.create_task(probes.recent(NOBODY))
    await asyncio.sleep(0.01)
    first.cancel()
    assert await second == {"database": ""}


@pytest.mark.parametrize(
    ("away", "query", "status"),
    [
        ("engines", b"", 503),
        ("engines", b"without=engines", 200),
        ("database", b"without=engines", 503),
        ("engines", b"without=database", 503),
    ],
)
async def test_who_sends_people_may_leave_engines_out(
    away: str, query: bytes, status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def look(_context: object) -> dict[str, str]:
        return {name: "away" if name == away else "" for name in ("database", "redis", "engines")}

    said = list[Any]()

    async def send(message: Any) -> None:
        said.append(message)

    limits = SimpleNamespace(rate=SimpleNamespace(alone=False, outages=0))
    monkeypatch.setattr(probes, "recent", look)
    monkeypatch.setattr(probes, "context_of", lambda _: SimpleNamespace(limits=limits))
    scope = {"type": "http", "method": "GET", "path": "/readyz", "headers": []}
    await probes.probe({**scope, "query_string": query}, None, send)
    assert said[0]["status"] == status
    body = json.loads(said[1]["body"])
    assert (body["checks"][away], body["reasons"]) == (False, {away: "away"})


# The database ------------------------------------------------------------------------------------
@pytest.fixture
async def context(dsn: str) -> AsyncIterator[Any]:
    redis = SimpleNamespace(call=lambda _word: asyncio.sleep(0))
    context = SimpleNamespace(database=ResilientConnection(dsn), redis=redis)
    yield context
    await context.database.close()


async def asked_by(context: Any) -> int:
    """The process of PostgreSQL's that a look has asked."""
    assert (await probes.checks(context))["database"]
    return int((await context.database.get()).info.backend_pid)


async def test_looks_share_a_connection(context: Any) -> None:
    assert len({await asked_by(context) for _ in range(5)}) == 1


async def test_one_that_has_died_is_replaced(context: Any, dsn: str) -> None:
    died = await asked_by(context)
    async with await psycopg.AsyncConnection.connect(dsn, autocommit=True) as other:
        await other.execute("select pg_terminate_backend(%s, 5000)", [died])
    assert await asked_by(context) != died


async def test_a_database_that_hangs_is_reported_within_two_seconds(context: Any, dsn: str) -> None:
    """The two seconds are the product's own. psycopg would wait five more for its cancellation."""
    assert probes.PATIENCE_S <= 2
    async with weak_line_to_database(dsn) as line:
        context.database = ResilientConnection(through(line, dsn))
        await asked_by(context)
        line.freeze()
        began = time.monotonic()
        assert not (await probes.checks(context))["database"]
        assert time.monotonic() - began < probes.PATIENCE_S + 2  # a busy machine takes its time
        line.thaw()
        await asked_by(context)
        await context.database.close()


async def test_a_database_that_does_not_answer_is_not_ready_until_it_does(
    context: Any, dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(probes, "PATIENCE_S", 0.5)
    async with weak_line_to_database(dsn) as line:
        context.database = ResilientConnection(through(line, dsn))
        await asked_by(context)
        line.freeze()
        assert not (await probes.checks(context))["database"]
        line.thaw()
        await asked_by(context)
        await context.database.close()
