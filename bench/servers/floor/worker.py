"""python -m bench.servers.floor.worker ENGINE: has the engine answer, and records the answers."""

import asyncio
import hashlib
import os
import sys
from contextlib import suppress
from typing import cast
from urllib.parse import urlsplit
from uuid import UUID

import hiredis
import httptools
import orjson
import uvloop

from bench.servers.floor.commits import SETTLED, GroupedRows, encrypted
from bench.servers.floor.messages import (
    ANSWERS,
    GROUP,
    KEPT,
    WORK,
    Part,
    Request,
    pack,
    unpack_request,
)
from infrastructure.redis.link import RedisLink

AT_ONCE = 64
PAUSE_S = 1 / 60  # between two messages with parts of streams
_HEAD = b"POST /v1/chat/completions HTTP/1.1\r\nhost: engine\r\ncontent-type: application/json\r\n"


class Worker:
    def __init__(self, engine: str) -> None:
        parts = urlsplit(engine)
        self._address = (str(parts.hostname), int(parts.port or 80))
        self._link = RedisLink(os.environ["REDIS_URL"])
        self._work = RedisLink(os.environ["REDIS_URL"], timeout_s=None)
        self._settled = GroupedRows(SETTLED)
        self._free: list[Connection] = []
        self._parts: list[Part] = []
        self._sending: asyncio.TimerHandle | None = None
        self._is_pausing = False

    async def run(self) -> None:
        with suppress(hiredis.ReplyError):  # it is there already
            await self._link.call("XGROUP", "CREATE", WORK, GROUP, "0", "MKSTREAM")
        take = ("XREADGROUP", "GROUP", GROUP, "one", "COUNT", AT_ONCE, "BLOCK", 0)
        tasks: set[asyncio.Task[None]] = set()
        while True:
            answer = await self._work.call(*take, "STREAMS", WORK, ">")
            for place, (_name, message) in answer[0][1]:
                task = asyncio.create_task(self._serve(place, unpack_request(message)))
                tasks.add(task)
                task.add_done_callback(tasks.discard)

    async def _serve(self, place: bytes, request: Request) -> None:
        connection = self._free.pop() if self._free else await self._connected()
        text, is_stream = await connection.ask(request)
        self._free.append(connection)
        tokens = text.count(b"\n\n") if is_stream else _tokens(text)
        id_, digest = UUID(bytes=request.id), hashlib.sha256(text).digest()
        await self._settled.write(id_, request.tenant, digest, encrypted(text, id_), tokens)
        self.add(Part(request.id, b"" if is_stream else text, True, is_stream), at_once=True)
        await self._link.many([("XACK", WORK, GROUP, place), ("XDEL", WORK, place)])

    async def _connected(self) -> "Connection":
        loop = asyncio.get_running_loop()
        _, connection = await loop.create_connection(lambda: Connection(self), *self._address)
        return connection

    def add(self, part: Part, *, at_once: bool) -> None:
        """Sends a part with all others: when the loop has turned, or after a pause."""
        self._parts.append(part)
        loop = asyncio.get_running_loop()
        if at_once and self._is_pausing and self._sending:
            self._sending.cancel()
            self._sending = None
        if self._sending is None:
            self._is_pausing = not at_once
            later = PAUSE_S if self._is_pausing else 0.0
            self._sending = loop.call_later(later, self._send)

    def _send(self) -> None:
        parts, self._parts, self._sending = self._parts, [], None
        add = ("XADD", ANSWERS, "MAXLEN", "~", KEPT, "*", "m", pack(parts))
        self._added = asyncio.ensure_future(self._link.call(*add))


class Connection(asyncio.Protocol):
    """One connection to the engine, for one request at a time."""

    def __init__(self, worker: Worker) -> None:
        self._worker = worker
        self._request = Request(b"", 0, b"")
        self._text: list[bytes] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    async def ask(self, request: Request) -> tuple[bytes, bool]:
        """Returns the whole answer, and whether it was a stream. Its parts leave meanwhile."""
        self._request, self._text, self._is_stream = request, [], False
        self._parser = httptools.HttpResponseParser(self)
        self._done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        length = b"content-length: %d\r\n\r\n" % len(request.body)
        self._transport.write(_HEAD + length + request.body)
        await self._done
        return b"".join(self._text), self._is_stream

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_header(self, name: bytes, value: bytes) -> None:
        if name.lower() == b"content-type" and value.startswith(b"text/event-stream"):
            self._is_stream = True

    def on_body(self, chunk: bytes) -> None:
        if self._is_stream:
            part = Part(self._request.id, chunk, False, True)
            self._worker.add(part, at_once=not self._text)
        self._text.append(chunk)

    def on_message_complete(self) -> None:
        self._done.set_result(None)


def _tokens(answer: bytes) -> int:
    return int(orjson.loads(answer)["usage"]["completion_tokens"])


async def main(engine: str) -> None:
    await Worker(engine).run()


if __name__ == "__main__":
    uvloop.run(main(sys.argv[1]))
