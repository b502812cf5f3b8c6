"""An engine that is a server of the test: what it was asked, and one behaviour."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web

from inference.engines.base import Engine, EngineConfig
from inference.engines.kinds.openai import OpenAIEngine
from inference.engines.transport.session import EngineSession
from inference.order import Order

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Served:
    """An HTTP server with one behaviour, and what it was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, bytes, str | None]] = []
        self.handler: Handler = self.nothing
        self.url = ""

    async def nothing(self, request: web.Request) -> web.StreamResponse:
        return web.json_response({})

    async def __call__(self, request: web.BaseRequest) -> web.StreamResponse:
        body = await request.read()
        self.asked.append((request.path, body, request.headers.get("Authorization")))
        return await self.handler(request)  # type: ignore[arg-type]

    def says(self, body: bytes, status: int = 200) -> None:
        async def handler(request: web.Request) -> web.StreamResponse:
            return web.Response(body=body, status=status)

        self.handler = handler

    def streams(self, *pieces: bytes | float, cut: bool = False) -> None:
        async def handler(request: web.Request) -> web.StreamResponse:
            response = web.StreamResponse()
            await response.prepare(request)
            for piece in pieces:
                if isinstance(piece, float):
                    await asyncio.sleep(piece)
                else:
                    await response.write(piece)
            if cut and request.transport:
                request.transport.abort()
            return response

        self.handler = handler


def an_engine(url: str, kind: type[Engine] = OpenAIEngine, **config: Any) -> Engine:
    return kind(EngineConfig(name="smol", kind="openai", url=url, model="theirs", **config))


async def heard(engine: Engine, session: EngineSession, order: Order) -> list[bytes]:
    return [event async for events in engine.events(session, order) for event in events]
