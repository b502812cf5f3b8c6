"""uvicorn as the supervisor starts it, in a thread, in front of a small application."""

import asyncio
import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from uuid import UUID

import uvicorn
import uvloop

from config.http.bounded_http import connection_limit_of


class Stub:
    """Echoes what it gets; `/stream` sends pieces with pauses, `/quick` answers unread."""

    def __init__(self) -> None:
        self.seen: list[dict[str, Any]] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "websocket":
            return await self._socket(receive, send)
        if scope["path"] == "/quick":
            return await _answer(send, 401, b"no")
        if scope["path"] == "/stream":
            return await self._stream(send)
        if scope["path"] == "/much":
            return await _answer(send, 200, b"x" * 20_000_000)
        body, more = b"", True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                return None
            body += message.get("body", b"")
            more = message.get("more_body", False)
        names = sorted(name.decode() for name, _ in scope["headers"])
        said = {"method": scope["method"], "path": scope["path"], "headers": names}
        self.seen.append(said)
        return await _answer(send, 200, json.dumps({**said, "body": body.decode()}).encode())

    async def _stream(self, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for n in range(8):
            await asyncio.sleep(0.1)
            await send({"type": "http.response.body", "body": b"%d;" % n, "more_body": True})
        await send({"type": "http.response.body", "body": b"end"})

    async def _socket(self, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        await send({"type": "websocket.send", "text": "hello"})
        while (await receive())["type"] != "websocket.disconnect":
            pass


def request_id(answer: bytes) -> UUID:
    """The one that an answer as it stands on the wire carries."""
    lines = answer.partition(b"\r\n\r\n")[0].split(b"\r\n")
    (found,) = [line for line in lines if line.startswith(b"x-request-id: ")]
    return UUID(found.partition(b": ")[2].decode())


async def _answer(send: Any, status: int, body: bytes) -> None:
    headers = [(b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


class Served:
    patience = 1  # seconds, of its end

    def __init__(self, app: Any, http: Any = "config.http.bounded_http:Bounded") -> None:
        self.app = app
        listening = socket.create_server(("127.0.0.1", 0), backlog=4096)
        self.port: int = listening.getsockname()[1]
        self._server = uvicorn.Server(
            uvicorn.Config(
                app,
                http=http,
                ws="config.http.bounded_http:BoundedSocket",
                lifespan="off",
                log_level="warning",
                proxy_headers=False,
                server_header=False,
                timeout_graceful_shutdown=1,
            )
        )
        self._sockets = [listening]
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(self._server.serve(sockets=self._sockets))

    @property
    def connections(self) -> int:
        return len(self._server.server_state.connections)

    @property
    def crowd(self) -> int:
        """The number of connections, with those that have not agreed on TLS yet."""
        return connection_limit_of(self._server.server_state).count

    def stop(self) -> None:
        self._server.config.timeout_graceful_shutdown = self.patience
        self._server.should_exit = True
        self._thread.join(10)

    def connect(self, address: str = "127.0.0.1") -> "Client":
        made = socket.create_connection(
            ("127.0.0.1", self.port), timeout=10, source_address=(address, 0)
        )
        return Client(made)


class Client:
    """One TCP connection; leaving its context closes it."""

    def __init__(self, made: socket.socket) -> None:
        self.socket = made

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def send(self, data: bytes) -> "Client":
        self.socket.sendall(data)
        return self

    def rest(self) -> bytes:
        """Everything until the server closes."""
        found = b""
        try:
            while piece := self.socket.recv(65536):
                found += piece
        except ConnectionResetError:
            pass
        return found

    def answer(self) -> bytes:
        """Head and body of an answer that tells its length."""
        found = b""
        while b"\r\n\r\n" not in found:
            if not (piece := self.socket.recv(65536)):
                return found
            found += piece
        head, _, body = found.partition(b"\r\n\r\n")
        length = next(
            int(line.split(b":")[1]) for line in head.lower().split(b"\r\n") if b"length" in line
        )
        while len(body) < length and (piece := self.socket.recv(65536)):
            body += piece
        return head + b"\r\n\r\n" + body


@contextmanager
def serving(app: Any) -> Iterator[Served]:
    served = Served(app)
    try:
        yield served
    finally:
        served.stop()
