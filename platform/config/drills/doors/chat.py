"""The chat page's websocket, as a signed-in person's page uses it."""

import asyncio
import json
from collections.abc import Sequence
from itertools import cycle
from typing import Any
from uuid import UUID

from websockets.asyncio.client import ClientConnection, connect
from websockets.typing import Origin

from config.drills.load import Refused

_ANSWER_S = 60
_OPEN_S = 5


class Chat:
    name = "chat"
    size = 1

    def __init__(self, urls: Sequence[str], session: str, tenant: str, model: str) -> None:
        self._urls, self._session = cycle(urls), session
        self._tenant, self._model = tenant, model
        self._socket: ClientConnection | None = None

    async def ask(self, request: str) -> Sequence[str]:
        try:
            return await self._ask(request)
        except Exception:
            await self.close()
            raise

    async def _ask(self, request: str) -> Sequence[str]:
        """Send a message under its own id, which counts once however often it is sent."""
        socket = await self._opened()
        sent = {"type": "send", "text": "Say hello.", "model": self._model, "message": request}
        await socket.send(json.dumps(sent))
        started = await _heard(socket, "started", "error")
        if started["type"] == "error":
            raise Refused(f"{started['code']}: {started['text']}")
        answer = started["answer"]
        end = await _heard(socket, "end", "error")
        if end["type"] == "error" or end.get("error"):
            raise Refused(str(end.get("error") or end["code"]), began=True)
        return [str(UUID(answer["completion"]))]

    async def _opened(self) -> ClientConnection:
        if self._socket is None:
            url = next(self._urls)
            self._socket = await connect(
                f"{url.replace('http', 'ws', 1)}/ws/chat/?tenant={self._tenant}&language=en",
                origin=Origin(url),
                additional_headers={"Cookie": f"forebay_session={self._session}"},
                open_timeout=_OPEN_S,
                close_timeout=1,
            )
        return self._socket

    async def close(self) -> None:
        socket, self._socket = self._socket, None
        if socket:
            await socket.close()


async def _heard(socket: ClientConnection, *kinds: str) -> dict[str, Any]:
    async with asyncio.timeout(_ANSWER_S):
        while True:
            message: dict[str, Any] = json.loads(await socket.recv())
            if message["type"] in kinds:
                return message
