"""A TCP line to a server that a test can take down, cut, freeze and mend."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from types import TracebackType
from urllib.parse import urlsplit, urlunsplit

from psycopg.conninfo import conninfo_to_dict, make_conninfo


class WeakLine:
    """Listens on `port` and passes everything on, as long as the test lets it."""

    port = 0

    def __init__(self, host: str, port: int) -> None:
        self._host, self._target = host, port
        self._server: asyncio.Server | None = None
        self._lines: set[asyncio.Task[None]] = set()
        self._open = asyncio.Event()
        self._open.set()
        self.deaf = False  # from now on, answers are dropped and their line is cut
        self.accepted = 0

    async def __aenter__(self) -> "WeakLine":
        await self.up()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        await self.down()

    async def up(self) -> None:
        """Takes connections (again), on the same port."""
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def down(self) -> None:
        """Refuses connections, and cuts those there are."""
        if self._server:
            self._server.close()
        await self.cut()

    async def cut(self) -> None:
        lines = list(self._lines)
        for line in lines:
            line.cancel()
        await asyncio.gather(*lines, return_exceptions=True)

    def freeze(self) -> None:
        """Accepts and reads nothing more: a server that has stopped without saying so."""
        self._open.clear()

    def thaw(self) -> None:
        self._open.set()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.accepted += 1
        line = asyncio.current_task()
        assert line is not None
        self._lines.add(line)
        try:
            async with self._target_line() as (far_reader, far_writer):
                there = asyncio.ensure_future(self._pass_on(reader, far_writer, answers=False))
                back = asyncio.ensure_future(self._pass_on(far_reader, writer, answers=True))
                try:
                    await asyncio.wait([there, back], return_when=asyncio.FIRST_COMPLETED)
                finally:
                    there.cancel()
                    back.cancel()
                    await asyncio.gather(there, back, return_exceptions=True)
        except (OSError, asyncio.CancelledError):
            pass
        finally:
            self._lines.discard(line)
            writer.transport.abort()

    @contextlib.asynccontextmanager
    async def _target_line(
        self,
    ) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
        if self._host.startswith("/"):
            path = f"{self._host}/.s.PGSQL.{self._target}"
            reader, writer = await asyncio.open_unix_connection(path)
        else:
            reader, writer = await asyncio.open_connection(self._host, self._target)
        try:
            yield reader, writer
        finally:
            writer.transport.abort()

    async def _pass_on(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, answers: bool
    ) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(65536):
                await self._open.wait()
                if answers and self.deaf:
                    return
                writer.write(data)
                await writer.drain()


def weak_line_to_database(dsn: str) -> WeakLine:
    parts = conninfo_to_dict(dsn)
    return WeakLine(str(parts.get("host") or "127.0.0.1"), int(parts.get("port") or 5432))


def through(line: WeakLine, dsn: str) -> str:
    """The same database, reached over the line."""
    return make_conninfo(dsn, host="127.0.0.1", port=line.port, sslmode="disable")


def weak_line_to_redis(url: str) -> WeakLine:
    parts = urlsplit(url)
    return WeakLine(parts.hostname or "127.0.0.1", parts.port or 6379)


def over(line: WeakLine, url: str) -> str:
    """The same Redis, reached over the line."""
    parts = urlsplit(url)
    credentials, at, _ = parts.netloc.rpartition("@")
    return urlunsplit(parts._replace(netloc=f"{credentials}{at}127.0.0.1:{line.port}"))
