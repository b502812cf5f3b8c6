"""A PostgreSQL connection beside Django's that opens at its first use and reopens after a failure.

It serves code in an event loop that queries all the time: authentication, prices, the group commit.
Its users never hold a connection that has died.
"""

import time
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import psycopg
from django.conf import settings

from infrastructure.metrics import Histogram

T = TypeVar("T")
Connection = psycopg.AsyncConnection[Any]
LOOKED_UP = Histogram(
    "forebay_postgresql_lookup_duration_seconds",
    "A question to PostgreSQL beside the group commits: of a key, prices, the record",
    bounds=(0.0005, 0.001, 0.0025, 0.005, 0.01, 0.05, 0.25, 1, 5),
).of()
BROKEN = (psycopg.OperationalError, psycopg.InterfaceError, OSError)


class ResilientConnection:
    """Opens and reopens one connection. `first`: statements that each new connection begins
    with."""

    def __init__(self, dsn: str, *, first: tuple[str, ...] = ()) -> None:
        self._dsn, self._first = dsn, first
        self._connection: Connection | None = None

    async def get(self) -> Connection:
        """Returns the open connection. Raises psycopg.Error or OSError; then call `close` before
        the next try.
        """
        if self._connection is None:
            self._connection = await psycopg.AsyncConnection.connect(
                self._dsn, autocommit=True, **settings.DATABASE_PATIENCE, **settings.SEES_ALL
            )
            for statement in self._first:
                await self._connection.execute(statement)
        return self._connection

    async def ask(self, question: Callable[[Connection], Awaitable[T]]) -> T:
        """Runs a query, once more over a new connection if the old one died while idle."""
        began, is_old = time.monotonic(), self._connection is not None
        try:
            answer = await question(await self.get())
        except BROKEN:
            if not is_old:
                raise
            await self.close()
            answer = await question(await self.get())
        LOOKED_UP.observe(time.monotonic() - began)
        return answer

    async def close(self) -> None:
        connection, self._connection = self._connection, None
        if connection:
            await connection.close()
