"""GET /metrics of one process, over a port of its own (docs/operations/metrics.md).

A thread with a loop of its own serves it: no request waits for a scrape, whatever the process is
busy with, and a process that is still starting answers too. Time, size and number of exchanges are
bounded.
"""

import asyncio
import hmac
import logging
import ssl
import sys
import threading
from collections.abc import Callable
from http import HTTPStatus
from pathlib import Path

from django.conf import settings
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from prometheus_client.openmetrics import exposition as openmetrics

from config.metrics import process
from config.tls.key_pair import BadCertificate
from config.tls.served_certificates import Served
from infrastructure.metrics import registry

log = logging.getLogger(__name__)
HEAD_BYTES = 8 * 1024  # of a request
EXCHANGE_S = 9.0  # Prometheus' own limit is 10 by default
AT_ONCE, MOST_OPEN = 8, 64
AGAIN_S = 5.0  # between attempts while another program has the port
TEXT = "text/plain; charset=utf-8"
OPENMETRICS = "application/openmetrics-text"
Page = tuple[str, bytes]  # content type and body
Answer = tuple[int, Page]
before_each: list[Callable[[], None]] = []  # called before each page, to refresh its figures


def page(accept: str = "") -> Page:
    """Returns the page: OpenMetrics if the `accept` header takes it, else the older text format."""
    for refresh in before_each:
        refresh()
    if OPENMETRICS in accept:
        body: bytes = openmetrics.generate_latest(registry())  # type: ignore[no-untyped-call]
        return openmetrics.CONTENT_TYPE_LATEST, body
    return CONTENT_TYPE_PLAIN_0_0_4, generate_latest(registry())


class Listener:
    """The server of /metrics.

    `token` is the path of a file; "" lets everybody read. `tls` makes the context of a new
    connection; without it, connections are in clear.
    """

    def __init__(
        self,
        host: str,
        port: int,
        token: str = "",
        tls: Callable[[], ssl.SSLContext] | None = None,
    ) -> None:
        self._host, self._port, self._token, self._tls = host, port, token, tls
        self._open = 0
        self._writing = asyncio.Lock()

    async def serve(self) -> None:
        """Serve until cancelled."""
        while True:
            try:
                server = await asyncio.start_server(
                    self._exchange, self._host, self._port, limit=HEAD_BYTES
                )
            except OSError as error:
                where = f"{self._host}:{self._port}"
                log.error("metrics: cannot listen on %s (%s); trying again", where, error.strerror)
                await asyncio.sleep(AGAIN_S)
                continue
            async with server:
                await server.serve_forever()

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open += 1
        try:
            async with asyncio.timeout(EXCHANGE_S if self._open <= MOST_OPEN else 0):
                if self._tls:
                    await writer.start_tls(self._tls(), ssl_handshake_timeout=EXCHANGE_S)
                status, (kind, body) = await self._answer(reader)
                writer.write(_head(status, kind, len(body)) + body)
                writer.close()
                await writer.wait_closed()
        except (TimeoutError, OSError):
            writer.transport.abort()
        finally:
            self._open -= 1

    async def _answer(self, reader: asyncio.StreamReader) -> Answer:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
        except (asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            return _text(400, "send a request of HTTP with a short head")
        line, *lines = head.decode("latin-1").split("\r\n")
        method, _, rest = line.partition(" ")
        fields = (line.partition(":") for line in lines)
        headers = {name.strip().lower(): value.strip() for name, _, value in fields}
        path = rest.split(" ")[0].partition("?")[0]
        # Probes need no token: their answer reveals nothing else.
        if path == "/livez":
            return _text(200, "alive")
        if path == "/readyz":
            ready = process.is_ready()
            return _text(200, "ready") if ready else _text(503, "it starts, or it ends")
        if path != "/metrics":
            return _text(404, "there is /metrics")
        if method != "GET":
            return _text(405, "/metrics takes GET")
        if not self._may_read(headers.get("authorization", "")):
            return _text(401, "send the token of FOREBAY_METRICS_TOKEN_FILE as a bearer token")
        if self._open > AT_ONCE:
            return _text(503, "too many scrapes at once")
        try:
            async with self._writing:  # one at a time: a second would only slow down the first
                return 200, await asyncio.to_thread(page, headers.get("accept", ""))
        except Exception:
            log.exception("metrics: cannot write them")
            return _text(500, "something broke; it has been logged")

    def _may_read(self, authorization: str) -> bool:
        """Returns whether the bearer token is right.

        The file is read each time: a new token counts at once, and a missing file admits nobody.
        """
        if not self._token:
            return True
        scheme, _, credentials = authorization.partition(" ")
        try:
            token = Path(self._token).read_bytes().strip()
        except OSError as error:
            log.error("metrics: cannot read FOREBAY_METRICS_TOKEN_FILE: %s", error.strerror)
            return False
        is_it = hmac.compare_digest(credentials.strip().encode("latin-1"), token)
        return bool(token) and scheme.lower() == "bearer" and is_it


def listen(serve: Callable[[Listener], None] | None = None) -> None:
    """Start the thread if FOREBAY_METRICS_PORT names a port for this process. Does not wait."""
    if not settings.METRICS_PORT:
        return
    address = settings.METRICS_HOST, settings.METRICS_PORT
    listener = Listener(*address, settings.METRICS_TOKEN_FILE, _tls())
    work = serve or _serve
    threading.Thread(target=work, args=[listener], name="metrics", daemon=True).start()


def _tls() -> Callable[[], ssl.SSLContext] | None:
    if not settings.TLS_CERTIFICATE:
        return None
    files = settings.TLS_CERTIFICATE, settings.TLS_KEY
    try:
        return Served("metrics", *files, settings.METRICS_CLIENT_CA).context
    except BadCertificate as problem:
        sys.exit(f"TLS of metrics: {problem}")


def _serve(listener: Listener) -> None:
    with asyncio.Runner(loop_factory=asyncio.new_event_loop) as runner:
        runner.run(listener.serve())


def _text(status: int, text: str) -> Answer:
    return status, (TEXT, f"{text}\n".encode())


def _head(status: int, kind: str, length: int) -> bytes:
    lines = [f"HTTP/1.1 {status} {HTTPStatus(status).phrase}", f"Content-Type: {kind}"]
    lines += [f"Content-Length: {length}", "Cache-Control: no-store", "Connection: close"]
    lines += ["WWW-Authenticate: Bearer"] if status == 401 else []
    lines += ["Allow: GET"] if status == 405 else []
    return "\r\n".join([*lines, "", ""]).encode()
