"""A service with a webhook, as a customer would run one. It counts what is delivered."""

import json
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Thread
from typing import Any

from config.tls.authority import Authority


@dataclass
class Service:
    """`mode` is an HTTP status, or what happens instead of an answer: wait, hang_up."""

    port: int = 0
    mode: int | str = 200
    answer: bytes = b'{"order": "A-1", "state": "sent"}'
    headers: dict[str, str] = field(default_factory=dict)
    released: Event = field(default_factory=Event)  # ends the waiting
    delivered: list[tuple[dict[str, str], bytes]] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"https://localhost:{self.port}/orders"

    @property
    def bodies(self) -> list[dict[str, Any]]:
        return [json.loads(body) for _headers, body in self.delivered]


class _Handler(BaseHTTPRequestHandler):
    service: Service

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        service = self.service
        service.delivered.append(({k.lower(): v for k, v in self.headers.items()}, body))
        if service.mode == "wait":
            service.released.wait(5)
        if isinstance(service.mode, str):
            self.connection.shutdown(socket.SHUT_RDWR)
            return
        self.send_response(service.mode)
        self.send_header("Content-Length", str(len(service.answer)))
        for name, value in service.headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(service.answer)

    def log_message(self, *_: object) -> None:
        pass


class _Server(ThreadingHTTPServer):
    def handle_error(self, *_: object) -> None:
        """Say nothing of clients that leave."""


@contextmanager
def serving(authority: Authority) -> Iterator[Service]:
    pair = authority.server(["localhost", "127.0.0.1"])
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pair.certificate, pair.key)
    service = Service()
    server = _Server(("127.0.0.1", 0), type("Handler", (_Handler,), {"service": service}))
    server.socket = context.wrap_socket(
        server.socket, server_side=True, do_handshake_on_connect=False
    )
    service.port = server.server_address[1]
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield service
    finally:
        service.released.set()
        server.shutdown()
        server.server_close()
        thread.join()
