"""Asks an ASGI application in this process: the whole of it, as a server would."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import Any

from django.conf import settings

PATIENCE_S = 30
Headers = list[tuple[bytes, bytes]]


@dataclass
class Answer:
    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""


class AsgiClient:
    """Each request comes from an address of its own: limits per address are not the question."""

    def __init__(self, application: Any, host: str) -> None:
        self._application, self._host = application, host.encode()
        self._asked = 0
        self._state: dict[str, Any] = {}  # what its lifespan leaves for requests

    @asynccontextmanager
    async def alive(self) -> AsyncIterator[None]:
        """While it runs, from its start to its end. Raises RuntimeError when it does not start."""
        told: asyncio.Queue[dict[str, str]] = asyncio.Queue()
        said: asyncio.Queue[dict[str, str]] = asyncio.Queue()
        life = asyncio.create_task(
            self._application({"type": "lifespan", "state": self._state}, told.get, said.put)
        )
        await told.put({"type": "lifespan.startup"})
        started = await asyncio.wait_for(said.get(), PATIENCE_S)
        if started["type"] != "lifespan.startup.complete":
            raise RuntimeError(started.get("message", "the application does not start"))
        try:
            yield
        finally:
            await told.put({"type": "lifespan.shutdown"})
            await asyncio.wait_for(life, PATIENCE_S)

    async def ask(self, method: str, path: str, headers: Headers, body: bytes = b"") -> Answer:
        exchange = _Exchange([{"type": "http.request", "body": body}])
        sent = [*headers, (b"content-length", b"%d" % len(body))]
        scope = {**self._scope("http", path, sent), "method": method}
        await exchange.run(self._application, scope)
        answer = Answer()
        for message in exchange.said:
            if message["type"] == "http.response.start":
                answer.status = message["status"]
                pairs = [(k.decode().lower(), v.decode("latin-1")) for k, v in message["headers"]]
                answer.headers = dict(pairs)
            answer.body += message.get("body", b"")
        return answer

    async def connect(self, path: str, headers: Headers, *texts: str) -> list[dict[str, Any]]:
        """What a websocket hears until it is closed, or until each of `texts` is answered."""
        told = [{"type": "websocket.connect"}]
        told += [{"type": "websocket.receive", "text": text} for text in texts]
        exchange = _Exchange(told, enough=1 + len(texts))
        sent = [*headers, (b"origin", settings.PUBLIC_URL.encode())]
        scope = {**self._scope("websocket", path, sent), "subprotocols": []}
        await exchange.run(self._application, scope)
        return exchange.said

    def _scope(self, kind: str, path: str, headers: Headers) -> dict[str, Any]:
        self._asked += 1
        bare, _, query = path.partition("?")
        return {
            "type": kind,
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "scheme": "http" if kind == "http" else "ws",
            "path": bare,
            "raw_path": bare.encode(),
            "query_string": query.encode(),
            "root_path": "",
            "headers": [(b"host", self._host), *headers],
            "client": (str(ip_address((10 << 24) + self._asked)), 1),
            "server": ("127.0.0.1", 80),
            "state": dict(self._state),
        }


class _Exchange:
    def __init__(self, told: list[dict[str, Any]], enough: int = 0) -> None:
        self._told, self._enough = told, enough
        self.said: list[dict[str, Any]] = []
        self._over = asyncio.Event()

    async def run(self, application: Any, scope: dict[str, Any]) -> None:
        async with asyncio.timeout(PATIENCE_S):
            await application(scope, self._receive, self._send)

    async def _receive(self) -> dict[str, Any]:
        if self._told:
            return self._told.pop(0)
        await self._over.wait()
        return {"type": "websocket.disconnect" if self._enough else "http.disconnect", "code": 1000}

    async def _send(self, message: dict[str, Any]) -> None:
        self.said.append(message)
        last = not message.get("more_body", False) and message["type"] == "http.response.body"
        heard = self._enough and len(self.said) >= self._enough
        if last or heard or message["type"] == "websocket.close":
            self._over.set()
