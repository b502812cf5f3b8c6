"""python -m bench.servers.floor.web PORT: takes chats, and passes answers on."""

import asyncio
import hashlib
import os
import sys
from typing import Any
from uuid import UUID

import orjson
import uvicorn

from bench.servers.floor import KEY, TENANT
from bench.servers.floor.commits import RECEIVED, RESERVED, GroupedRows, encrypted, new_id
from bench.servers.floor.messages import ANSWERS, ENQUEUE, WORK, Part, Request, pack, unpack_parts
from infrastructure.redis.link import RedisLink

TENANTS = {hashlib.sha256(f"Bearer {KEY}".encode()).digest(): TENANT}
EMPTY = {"type": "http.response.body", "body": b""}


class Web:
    def __init__(self) -> None:
        self._parts: dict[bytes, asyncio.Queue[Part]] = {}
        self._link = RedisLink(os.environ["REDIS_URL"])
        self._answers = RedisLink(os.environ["REDIS_URL"], timeout_s=None)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await self._lifespan(receive, send)
        elif scope["path"] == "/health":
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send(EMPTY)
        else:
            await self._chat(scope, receive, send)

    async def _chat(self, scope: Any, receive: Any, send: Any) -> None:
        body = await _whole(receive)
        orjson.loads(body)
        tenant = TENANTS[hashlib.sha256(dict(scope["headers"])[b"authorization"]).digest()]
        id_ = new_id()
        parts = self._parts[id_.bytes] = asyncio.Queue()
        try:
            await self._enqueue(id_, tenant, body)
            await _answer(parts, send)
        finally:
            del self._parts[id_.bytes]

    async def _lifespan(self, receive: Any, send: Any) -> None:
        await receive()
        self._received = GroupedRows(RECEIVED)
        self._reading = asyncio.create_task(self._read())
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await send({"type": "lifespan.shutdown.complete"})

    async def _enqueue(self, id_: UUID, tenant: int, body: bytes) -> None:
        digest = hashlib.sha256(body).digest()
        await self._received.write(id_, tenant, digest, encrypted(body, id_))
        request = pack(Request(id_.bytes, tenant, body))
        await self._link.run(ENQUEUE, [f"floor:limit:{tenant}", WORK], RESERVED, request)

    async def _read(self) -> None:
        last = b"$"
        while True:
            answer = await self._answers.call(
                *("XREAD", "COUNT", 100, "BLOCK", 0, "STREAMS", ANSWERS, last)
            )
            messages = answer[0][1]
            last = messages[-1][0]
            for _place, (_name, message) in messages:
                self._pass_on(message)

    def _pass_on(self, message: bytes) -> None:
        for part in unpack_parts(message):
            if parts := self._parts.get(part.id):
                parts.put_nowait(part)


async def _whole(receive: Any) -> bytes:
    chunks, more = [], True
    while more:
        message = await receive()
        chunks.append(message["body"])
        more = message["more_body"]
    return b"".join(chunks)


async def _answer(parts: asyncio.Queue[Part], send: Any) -> None:
    part = await parts.get()
    kind = b"text/event-stream" if part.is_stream else b"application/json"
    headers = [(b"content-type", kind)]
    if part.is_last:
        headers.append((b"content-length", b"%d" % len(part.data)))
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    while True:
        more = not part.is_last
        await send({"type": "http.response.body", "body": part.data, "more_body": more})
        if not more:
            return
        part = await parts.get()


if __name__ == "__main__":
    options: dict[str, Any] = {
        "http": "httptools",
        "loop": "uvloop",
        "timeout_graceful_shutdown": 1,
    }
    options |= {"access_log": False, "log_level": "warning"}
    uvicorn.run(Web(), port=int(sys.argv[1]), **options)
