"""A server that speaks just enough of Redis's protocol to misbehave on purpose."""

import asyncio
from collections.abc import Awaitable, Callable
from types import TracebackType

import hiredis

Command = list[bytes]
Reaction = Callable[[Command], Awaitable[bytes | None]]


class PlayedRedis:
    """`react` gives the raw answer to each command; None keeps silent."""

    def __init__(self, react: Reaction) -> None:
        self._react = react
        self.heard: list[Command] = []
        self._lines: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> "PlayedRedis":
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self._server.close()
        for line in list(self._lines):
            line.cancel()
        await asyncio.gather(*self._lines, return_exceptions=True)

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}"

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        line = asyncio.current_task()
        assert line is not None
        self._lines.add(line)
        commands = hiredis.Reader()
        try:
            while data := await reader.read(65536):
                commands.feed(data)
                while (command := commands.gets()) is not False:
                    self.heard.append(command)
                    if (answer := await self._react(command)) is not None:
                        writer.write(answer)
        except (OSError, asyncio.CancelledError):
            pass
        finally:
            self._lines.discard(line)
            writer.transport.abort()


async def fine(command: Command) -> bytes:
    return b"+OK\r\n"


async def silent(command: Command) -> None:
    return None
