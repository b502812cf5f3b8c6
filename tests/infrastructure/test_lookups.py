"""One query answers all that wait; a failure fails them, and none after them."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import psycopg
import pytest
from django.conf import settings as configured
from pytest_django.fixtures import Settings

from infrastructure.postgres.lookups import GROUP, Lookups
from infrastructure.postgres.resilient_connection import Connection, ResilientConnection

DOUBLE = "select 2 * n from unnest(%s::int[]) with ordinality as a(n, place) order by place"
INVERSE = "select 100 / n from unnest(%s::int[]) with ordinality as a(n, place) order by place"


@pytest.fixture
async def lookups() -> AsyncIterator[Lookups]:
    lookups = Lookups(configured.DATABASE_URL)
    yield lookups
    await lookups.close()


@pytest.fixture
def queries(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Collects the queries as they are sent."""
    sent, execute = list[str](), psycopg.AsyncConnection.execute

    async def counted(self: Connection, query: str, *arguments: Any, **options: Any) -> Any:
        sent.append(query)
        return await execute(self, query, *arguments, **options)

    monkeypatch.setattr(psycopg.AsyncConnection, "execute", counted)
    return sent


async def test_each_gets_its_answer_and_one_query_answers_many(
    lookups: Lookups, queries: list[str]
) -> None:
    numbers = range(GROUP + 50)
    tasks = [asyncio.create_task(lookups.ask(DOUBLE, (n,))) for n in numbers]
    other = asyncio.create_task(lookups.ask(INVERSE, (4,)))
    await asyncio.sleep(0)
    tasks[3].cancel()
    answers = await asyncio.gather(*tasks, return_exceptions=True)
    assert isinstance(answers.pop(3), asyncio.CancelledError)
    assert answers == [(2 * n,) for n in numbers if n != 3]
    assert await other == (25,)
    assert [queries.count(statement) for statement in (DOUBLE, INVERSE)] == [2, 1]


async def test_a_failure_is_that_of_all_who_asked_with_it_and_of_no_other(
    lookups: Lookups,
) -> None:
    questions = [lookups.ask(INVERSE, (n,)) for n in (1, 0)]
    answers = await asyncio.gather(*questions, lookups.ask(DOUBLE, (1,)), return_exceptions=True)
    assert [type(each) for each in answers[:2]] == [psycopg.errors.DivisionByZero] * 2
    assert answers[2] == (2,)
    assert await lookups.ask(INVERSE, (5,)) == (20,)


async def test_a_statement_that_answers_too_few_fails(lookups: Lookups) -> None:
    with pytest.raises(ValueError, match="shorter"):
        await lookups.ask("select 1 where %s::int[] is null", (1,))
    assert await lookups.ask(DOUBLE, (1,)) == (2,)


async def test_a_connection_that_ended_is_opened_again(lookups: Lookups) -> None:
    await lookups.ask(DOUBLE, (1,))
    connection = await lookups._connection.get()
    await connection.close()
    assert await lookups.ask(DOUBLE, (2,)) == (4,)


async def test_a_server_that_is_away_is_asked_again(
    lookups: Lookups, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.FAILOVER_WAIT_S = 0
    with monkeypatch.context() as patch:
        patch.setattr(lookups._connection, "_dsn", "postgres://127.0.0.1:9/none")
        for _ in range(2):
            with pytest.raises(psycopg.OperationalError):
                await lookups.ask(DOUBLE, (1,))
        questions = [lookups.ask(DOUBLE, (n,)) for n in range(GROUP + 1)]
        answers = await asyncio.gather(
            *questions, lookups.ask(INVERSE, (1,)), return_exceptions=True
        )
        assert len(set(map(id, answers))) == 1  # one failure for all of them
    assert await lookups.ask(DOUBLE, (1,)) == (2,)


async def test_nobody_waits_for_one_that_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    lookups = Lookups(configured.DATABASE_URL)

    async def hangs(*_: object) -> None:
        await asyncio.sleep(60)

    monkeypatch.setattr(ResilientConnection, "ask", hangs)
    waiting = [asyncio.create_task(lookups.ask(DOUBLE, (n,))) for n in range(2)]
    await asyncio.sleep(0.01)
    waiting.append(asyncio.create_task(lookups.ask(INVERSE, (1,))))
    await asyncio.sleep(0)
    await lookups.close()
    async with asyncio.timeout(5):
        answers = await asyncio.gather(*waiting, return_exceptions=True)
    assert {type(each) for each in answers} == {asyncio.CancelledError}
    with pytest.raises(ConnectionError):
        await lookups.ask(DOUBLE, (1,))


async def test_a_question_of_another_length_fails(lookups: Lookups) -> None:
    questions = [lookups.ask(DOUBLE, question) for question in ((1,), (1, 2))]
    answers = await asyncio.gather(*questions, lookups.ask(INVERSE, (5,)), return_exceptions=True)
    assert [type(each) for each in answers[:2]] == [ValueError] * 2
    assert answers[2] == (20,)
