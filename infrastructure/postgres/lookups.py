"""Small questions to PostgreSQL over one permanent connection: one query for all that wait.

A transaction of the ORM in a thread takes ten times as much processor time for each.
"""

import asyncio
from collections.abc import Sequence
from itertools import chain
from typing import Any, NamedTuple

from infrastructure.postgres.resilient_connection import BROKEN, Connection, ResilientConnection

GROUP = 200  # questions of one query
Answer = tuple[Any, ...]


class _Waiting(NamedTuple):
    question: Sequence[Any]
    done: "asyncio.Future[Answer]"


class Lookups:
    def __init__(self, dsn: str) -> None:
        # The statistics of a new table would mislead the planner.
        self._connection = ResilientConnection(dsn, first=("set enable_seqscan to off",))
        self._waiting: dict[str, list[_Waiting]] = {}  # by statement
        self._current: list[_Waiting] = []
        self._asking: asyncio.Task[None] | None = None
        self._is_closed = False

    async def ask(self, statement: str, question: Sequence[Any]) -> Answer:
        """Returns the statement's answer. Raises psycopg.Error, OSError.

        The statement takes an array for each value of the questions, and returns a row for each
        question, in their order.
        """
        if self._is_closed:
            raise ConnectionError("these look-ups have been closed")
        entry = _Waiting(question, asyncio.get_running_loop().create_future())
        self._waiting.setdefault(statement, []).append(entry)
        if self._asking is None:
            self._asking = asyncio.create_task(self._ask_all())
        return await entry.done

    async def close(self) -> None:
        self._is_closed = True
        if self._asking:
            self._asking.cancel()
            await asyncio.gather(self._asking, return_exceptions=True)
        for entry in self._all():
            entry.done.cancel()
        await self._connection.close()

    async def _ask_all(self) -> None:
        try:
            while self._waiting:
                statement, entries = next(iter(self._waiting.items()))
                self._current, later = entries[:GROUP], entries[GROUP:]
                del self._waiting[statement]
                if later:
                    self._waiting[statement] = later  # behind the other statements
                await self._answer(statement, [e for e in self._current if not e.done.done()])
        finally:
            self._asking = None

    def _all(self) -> list[_Waiting]:
        return [*chain(self._current, *self._waiting.values())]

    async def _answer(self, statement: str, entries: list[_Waiting]) -> None:
        async def query(connection: Connection) -> list[Answer]:
            columns = [list(values) for values in zip(*(e.question for e in entries), strict=True)]
            cursor = await connection.execute(statement, columns, prepare=True)
            return await cursor.fetchall()

        try:
            answers = await self._connection.ask(query) if entries else []
            for entry, answer in zip(entries, answers, strict=True):
                if not entry.done.done():
                    entry.done.set_result(answer)
        except Exception as problem:  # the next ones must be tried whatever it is
            await self._connection.close()
            # Where the server is away, those that wait have waited as long as the first ones.
            for entry in self._all() if isinstance(problem, BROKEN) else entries:
                if not entry.done.done():
                    entry.done.set_exception(problem)
