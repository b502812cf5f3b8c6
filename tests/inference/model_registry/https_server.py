"""An https server with files and git repositories, and a certificate of the test's authority."""

import os
import ssl
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from urllib.parse import urlsplit

from config.tls.authority import Authority

BACKEND = "/usr/lib/git-core/git-http-backend"


@dataclass
class Served:
    port: int
    files: dict[str, bytes] = field(default_factory=dict)
    redirects: dict[str, str] = field(default_factory=dict)
    repositories: Path = Path()

    def url(self, path: str) -> str:
        return f"https://localhost:{self.port}{path}"


class _Handler(BaseHTTPRequestHandler):
    served: Served

    def do_GET(self) -> None:
        path = urlsplit(self.path).path
        if path.startswith("/git/"):
            self._git(b"")
        elif location := self.served.redirects.get(path):
            self._answer(302, b"", Location=location)
        elif (content := self.served.files.get(path)) is not None:
            self._answer(200, content)
        else:
            self._answer(404, b"")

    def do_POST(self) -> None:
        self._git(self.rfile.read(int(self.headers["Content-Length"])))

    def log_message(self, *_: object) -> None:
        pass

    def _answer(self, status: int, content: bytes, **headers: str) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(content)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    def _git(self, body: bytes) -> None:
        """Answer as git's own CGI program does."""
        url = urlsplit(self.path)
        variables = {
            **os.environ,
            "GIT_PROJECT_ROOT": str(self.served.repositories),
            "GIT_HTTP_EXPORT_ALL": "1",
            "PATH_INFO": url.path.removeprefix("/git"),
            "QUERY_STRING": url.query,
            "REQUEST_METHOD": self.command,
            "CONTENT_TYPE": self.headers.get("Content-Type", ""),
            "CONTENT_LENGTH": str(len(body)),
            "GIT_PROTOCOL": self.headers.get("Git-Protocol", ""),
        }
        raw = subprocess.run([BACKEND], input=body, env=variables, capture_output=True).stdout
        head, _, content = raw.partition(b"\r\n\r\n")
        headers = dict(line.split(": ", 1) for line in head.decode().split("\r\n"))
        self._answer(int(headers.pop("Status", "200")[:3]), content, **headers)


class _Server(ThreadingHTTPServer):
    def handle_error(self, *_: object) -> None:
        """Say nothing of clients that leave, as one does that does not trust the certificate."""


@contextmanager
def serving(authority: Authority) -> Iterator[Served]:
    pair = authority.server(["localhost", "127.0.0.1"])
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pair.certificate, pair.key)
    handler = type("Handler", (_Handler,), {})
    server = _Server(("127.0.0.1", 0), handler)
    listening = server.socket  # each connection agrees on TLS in its own thread
    server.socket = context.wrap_socket(listening, server_side=True, do_handshake_on_connect=False)
    served = Served(server.server_address[1])
    handler.served = served  # type: ignore[attr-defined]
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield served
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
