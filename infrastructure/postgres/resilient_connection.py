"""A PostgreSQL connection beside Django's that opens at its first use and reopens after a failure.

It serves code in an event loop that queries all the time: authentication, prices, the group commit.
Its users never hold a connection that has died.
"""

import asyncio
import os
import socket
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, TypeVar

import psycopg
from django.conf import settings
from psycopg.errors import Diagnostic

from infrastructure.metrics import Histogram

T = TypeVar("T")
Connection = psycopg.AsyncConnection[Any]
LOOKED_UP = Histogram(
    "forebay_postgresql_lookup_duration_seconds",
    "A question to PostgreSQL beside the group commits: of a key, prices, the record",
    bounds=(0.0005, 0.001, 0.0025, 0.005, 0.01, 0.05, 0.25, 1, 5),
).of()
BROKEN = (psycopg.OperationalError, psycopg.InterfaceError, OSError)
ANSWER_S = 5.0  # a server that takes longer has stopped without saying so
PAUSE_S = 0.1  # between tries while there is no primary
# PostgreSQL's warnings that a commit is on no standby: its wait for them was cancelled, or ended by
# a shutdown. Group commits cause no other warnings.
NOT_REPLICATED = ("01000", "57P01")
# A row that an earlier try has written is written again by nobody, and a commit that writes nothing
# waits for no standby. This makes it wait for all that is in the log before.
WAIT_FOR_STANDBYS = "select pg_logical_emit_message(true, 'forebay', '')"


class ResilientConnection:
    """Opens and reopens one connection. `first`: statements that each new connection begins
    with.

    `is_in_doubt`: a commit over the present connection may be on no standby.
    """

    def __init__(self, dsn: str, *, first: tuple[str, ...] = ()) -> None:
        self._dsn, self._first = dsn, first
        self._connection: Connection | None = None
        self.is_in_doubt = False
        self.last_problem = ""  # of the last try; "" once a query has been answered

    async def get(self) -> Connection:
        """Returns the open connection. Raises psycopg.Error or OSError; then call `close` before
        the next try.
        """
        if self._connection is None:
            self._connection = await psycopg.AsyncConnection.connect(
                self._dsn, autocommit=True, **settings.DATABASE_PATIENCE, **settings.SEES_ALL
            )
            with hung_up_after(self._connection, ANSWER_S):  # it may freeze at any moment
                for statement in self._first:
                    await self._connection.execute(statement)
            self._connection.add_notice_handler(self._read_notice)
        return self._connection

    def _read_notice(self, notice: Diagnostic) -> None:
        if notice.sqlstate in NOT_REPLICATED:
            self.is_in_doubt = True

    async def ask(self, question: Callable[[Connection], Awaitable[T]]) -> T:
        """Runs a query. Runs it again over a new connection if the old one died while idle, and
        until FAILOVER_WAIT_S have passed while no server takes connections.
        """
        began = time.monotonic()
        while True:
            is_old = self._connection is not None
            try:
                connection = await self.get()
                with hung_up_after(connection, ANSWER_S):
                    answer = await question(connection)
            except BROKEN as problem:
                self.last_problem = str(problem)
                has_died = self._connection is None or self._connection.broken
                await self.close()
                waited_s = time.monotonic() - began
                if not is_old and not (has_died and waited_s < settings.FAILOVER_WAIT_S):
                    raise
            else:
                LOOKED_UP.observe(time.monotonic() - began)
                self.last_problem = ""
                return answer
            if not is_old:
                await asyncio.sleep(PAUSE_S)

    async def close(self) -> None:
        connection, self._connection = self._connection, None
        self.is_in_doubt = False
        if connection:
            await connection.close()


@contextmanager
def hung_up_after(connection: Connection, seconds: float) -> Iterator[None]:
    """Fails the block's query after `seconds`, as if the server had died.

    A cancellation would ask the server, which does not answer, for ten seconds.
    """
    timer = asyncio.get_running_loop().call_later(seconds, _hang_up, connection.fileno())
    try:
        yield
    finally:
        timer.cancel()


def _hang_up(file: int) -> None:
    with suppress(OSError), socket.socket(fileno=os.dup(file)) as line:
        line.shutdown(socket.SHUT_RDWR)
