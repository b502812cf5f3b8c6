"""A hosted service whose account is empty. It counts the bytes that requests bring it."""

from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread


class BrokeService(ThreadingHTTPServer):
    daemon_threads = True
    bytes = 0

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class _Handler(BaseHTTPRequestHandler):
    server: BrokeService

    def do_GET(self) -> None:
        """Of the balance it says nothing."""
        self._say(200)

    def do_POST(self) -> None:
        self.server.bytes += len(self.rfile.read(int(self.headers["Content-Length"])))
        self._say(402)

    def _say(self, status: int) -> None:
        self.send_response(status)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, format: str, *args: object) -> None:
        """Nothing."""


@contextmanager
def broke_service() -> Iterator[BrokeService]:
    with BrokeService() as service:
        Thread(target=service.serve_forever, daemon=True).start()
        yield service
        service.shutdown()
