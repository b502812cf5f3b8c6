"""A client that calls an ASGI application in this process, all of it, as a server would."""

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
    """Sends each request from an address of its own, so that limits per address do not apply."""

    def __init__(self, application: Any, host: str) -> None:
        self._application, self._host = application, host.encode()
        self._asked = 0
        self._state: dict[str, Any] = {}  # filled by its lifespan, for its requests

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Run the application's lifespan. Raises RuntimeError if it does not start."""
        to_app: asyncio.Queue[dict[str, str]] = asyncio.Queue()
        from_app: asyncio.Queue[dict[str, str]] = asyncio.Queue()
        lifespan = asyncio.create_task(
            self._application({"type": "lifespan", "state": self._state}, to_app.get, from_app.put)
        )
        await to_app.put({"type": "lifespan.startup"})
        started = await asyncio.wait_for(from_app.get(), PATIENCE_S)
        if started["type"] != "lifespan.startup.complete":
            raise RuntimeError(started.get("message", "the application does not start"))
        try:
            yield
        finally:
            await to_app.put({"type": "lifespan.shutdown"})
            await asyncio.wait_for(lifespan, PATIENCE_S)

    async def ask(self, method: str, path: str, headers: Headers, body: bytes = b"") -> Answer:
        exchange = _Exchange([{"type": "http.request", "body": body}])
        headers = [*headers, (b"content-length", b"%d" % len(body))]
        scope = {**self._scope("http", path, headers), "method": method}
        await exchange.run(self._application, scope)
        answer = Answer()
        for message in exchange.sent:
            if message["type"] == "http.response.start":
                answer.status = message["status"]
                pairs = [(k.decode().lower(), v.decode("latin-1")) for k, v in message["headers"]]
                answer.headers = dict(pairs)
            answer.body += message.get("body", b"")
        return answer

    async def connect(self, path: str, headers: Headers, *texts: str) -> list[dict[str, Any]]:
        """Return what a websocket receives until it closes, or each of `texts` is answered."""
        messages = [{"type": "websocket.connect"}]
        messages += [{"type": "websocket.receive", "text": text} for text in texts]
        exchange = _Exchange(messages, enough=1 + len(texts))
        headers = [*headers, (b"origin", settings.PUBLIC_URL.encode())]
        scope = {**self._scope("websocket", path, headers), "subprotocols": []}
        await exchange.run(self._application, scope)
        return exchange.sent

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
    def __init__(self, messages: list[dict[str, Any]], enough: int = 0) -> None:
        self._messages, self._enough = messages, enough
        self.sent: list[dict[str, Any]] = []
        self._over = asyncio.Event()

    async def run(self, application: Any, scope: dict[str, Any]) -> None:
        async with asyncio.timeout(PATIENCE_S):
            await application(scope, self._receive, self._send)

    async def _receive(self) -> dict[str, Any]:
        if self._messages:
            return self._messages.pop(0)
        await self._over.wait()
        return {"type": "websocket.disconnect" if self._enough else "http.disconnect", "code": 1000}

    async def _send(self, message: dict[str, Any]) -> None:
        self.sent.append(message)
        last = not message.get("more_body", False) and message["type"] == "http.response.body"
        enough = self._enough and len(self.sent) >= self._enough
        if last or enough or message["type"] == "websocket.close":
            self._over.set()
