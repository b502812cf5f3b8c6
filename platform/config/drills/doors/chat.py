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
_OURS = "out_of_service"  # the message may have been put on record: its id is sent again


class Chat:
    name = "chat"
    size = 1

    def __init__(self, urls: Sequence[str], session: str, tenant: str, model: str) -> None:
        self._urls, self._session = cycle(urls), session
        self._tenant, self._model = tenant, model
        self._idle: list[ClientConnection] = []

    async def ask(self, request: str) -> Sequence[str]:
        """Send a message over a socket that no other client uses meanwhile."""
        socket = self._idle.pop() if self._idle else await self._opened()
        try:
            ids = await self._ask(socket, request)
        except BaseException:  # also a timeout: its answer may yet come, to no other question
            await socket.close()
            raise
        self._idle.append(socket)
        return ids

    async def _ask(self, socket: ClientConnection, request: str) -> Sequence[str]:
        """Send a message under its own id, which counts once however often it is sent."""
        sent = {"type": "send", "text": "Say hello.", "model": self._model, "message": request}
        await socket.send(json.dumps(sent))
        started = await _heard(socket, "started", "error")
        if started["type"] == "error":
            text, is_ours = f"{started['code']}: {started['text']}", started["code"] == _OURS
            raise Refused(text, began=is_ours, again=is_ours)
        answer = started["answer"]
        end = await _heard(socket, "end", "error")
        if end["type"] == "error" or end.get("error"):
            raise Refused(str(end.get("error") or end["code"]), began=True)
        return [str(UUID(answer["completion"]))]

    async def _opened(self) -> ClientConnection:
        url = next(self._urls)
        return await connect(
            f"{url.replace('http', 'ws', 1)}/ws/chat/?tenant={self._tenant}&language=en",
            origin=Origin(url),
            additional_headers={"Cookie": f"forebay_session={self._session}"},
            open_timeout=_OPEN_S,
            close_timeout=1,
        )

    async def close(self) -> None:
        while self._idle:
            await self._idle.pop().close()


async def _heard(socket: ClientConnection, *kinds: str) -> dict[str, Any]:
    async with asyncio.timeout(_ANSWER_S):
        while True:
            message: dict[str, Any] = json.loads(await socket.recv())
            if message["type"] in kinds:
                return message
