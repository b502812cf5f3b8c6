"""The front end of dialogues on a real port, with static files and websockets, and foreign pages.

Everything runs in the test's own loop, beside its engine and its runner.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import uvicorn
from django.conf import settings

from config.http.static_files import static_files
from inference.api.dialogues import routes, socket
from tests.inference.web import current, served


async def application(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] == "websocket":
        dialogue = routes.socket_of(scope["path"]) or ""
        await socket.serve({**scope, "state": {"context": current()}}, receive, send, dialogue)
    elif scope["path"].startswith(settings.STATIC_URL):
        await static_files(scope, receive, send)
    elif scope["type"] == "http":
        await served(scope, receive, send)


@asynccontextmanager
async def running(app: Any, port: int = 0) -> AsyncIterator[str]:
    """Yields the URL of the application."""
    config = uvicorn.Config(app, "127.0.0.1", port, lifespan="off", log_level="warning")
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.02)
    try:
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = server.force_exit = True
        await serving


class Page:
    """A page of another origin: a strict policy, and one line for the widget."""

    def __init__(self) -> None:
        self.html, self.policy = "", ""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        headers = [(b"content-type", b"text/html; charset=utf-8")]
        if self.policy:
            headers.append((b"content-security-policy", self.policy.encode()))
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": self.html.encode()})
