"""Bounded HTTP requests to identity providers, which other people operate.

An answer has a maximum size and time, no redirect is followed (a 307 would carry the client's
secret along), plain HTTP is used only for hosts that FOREBAY_OIDC names with `http://`, and
connections to link-local addresses and those of a cloud's metadata are refused.
"""

import os
import socket
from threading import Timer
from typing import Any, Self
from urllib.parse import urlsplit

from django.conf import settings
from requests import ConnectionError as NotConnected
from requests import PreparedRequest, ReadTimeout, Response, Session
from requests.adapters import HTTPAdapter
from requests.exceptions import ContentDecodingError, InvalidSchema, TooManyRedirects
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import DecodeError, HTTPError, ProtocolError

from infrastructure import networks, outgoing_tls

MOST_BYTES = 1 << 20


class Deadline:
    """Ends the connections of one request when its time is over, even if data still trickles in."""

    def __init__(self, seconds: float) -> None:
        self.over = False
        self._sockets: list[socket.socket] = []
        self._timer = Timer(seconds, self._end)
        self._timer.daemon = True

    def watch(self, sock: socket.socket) -> None:
        """Watch a duplicate of the socket: TLS takes the socket itself over."""
        self._sockets.append(socket.socket(fileno=os.dup(sock.fileno())))

    def __enter__(self) -> Self:
        self._timer.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._timer.cancel()
        self._timer.join()
        for sock in self._sockets:
            sock.close()

    def _end(self) -> None:
        self.over = True
        for sock in self._sockets:
            try:
                sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue  # the provider has closed it already


class _Watched(HTTPConnection):
    deadline: Deadline

    def _new_conn(self) -> socket.socket:
        sock = super()._new_conn()
        address = str(sock.getpeername()[0])
        if reason := networks.refusal_reason(address, hosted=True):
            sock.close()
            raise ProtocolError(f"an identity provider's endpoint: {reason}")
        self.deadline.watch(sock)
        return sock


class _WatchedTls(HTTPSConnection, _Watched):
    """Checks the address before the TLS begins."""


def _watched_by(deadline: Deadline, pool: Any) -> Any:
    base = _WatchedTls if pool.scheme == "https" else _Watched
    pool.ConnectionCls = type(base.__name__, (base,), {"deadline": deadline})
    return pool


class _Plain(HTTPAdapter):
    deadline: Deadline

    def get_connection_with_tls_context(self, *args: Any, **options: Any) -> Any:
        pool = super().get_connection_with_tls_context(*args, **options)
        return _watched_by(self.deadline, pool)


class _Tls(_Plain):
    """Watched connections by the platform's rules: FOREBAY_TLS_CA, FOREBAY_TLS_PEERS.

    `requests` by itself trusts its own list of authorities, and accepts TLS 1.2.
    """

    def build_connection_pool_key_attributes(
        self, request: PreparedRequest, verify: Any, cert: Any = None
    ) -> Any:
        """Use a context per host, and a new one when its files have changed."""
        host, _ = super().build_connection_pool_key_attributes(request, True, None)
        name = urlsplit(request.url or "").hostname or ""
        return host, {"ssl_context": outgoing_tls.context(name), "cert_reqs": "CERT_REQUIRED"}

    def cert_verify(self, conn: Any, url: str, verify: Any, cert: Any) -> None:
        """Do nothing: requests would add its own list of authorities to the context here."""


class ProviderSession(Session):
    """A session of `requests` that sends one request: allauth makes one for each."""

    def __init__(self, timeout_s: float) -> None:
        super().__init__()
        self.timeout_s = timeout_s
        for scheme, adapter in (("https://", _Tls()), ("http://", _Plain())):
            self.mount(scheme, adapter)

    def send(self, request: PreparedRequest, **options: Any) -> Response:
        """Send the request. Raises as requests does, also for an answer too long or too slow."""
        _refuse_clear_text(request.url or "")
        bounds = {"stream": True, "allow_redirects": False, "timeout": self.timeout_s}
        with Deadline(self.timeout_s) as deadline:
            for adapter in self.adapters.values():
                adapter.deadline = deadline  # type: ignore[attr-defined]  # all are ours
            try:
                response = super().send(request, **options | bounds)
                _read(response)
            except HTTPError as problem:
                raise NotConnected(problem) from problem
            if deadline.over:
                raise ReadTimeout("an identity provider took too long")
        if response.is_redirect:
            raise TooManyRedirects("an identity provider sends elsewhere")
        return response


def _refuse_clear_text(url: str) -> None:
    """Raises InvalidSchema for `http://` to a host that FOREBAY_OIDC does not name with it."""
    parts = urlsplit(url)
    apps: Any = settings.SOCIALACCOUNT_PROVIDERS["openid_connect"]["APPS"]
    entries = [urlsplit(app["settings"]["server_url"]) for app in apps]
    clear = {entry.hostname for entry in entries if entry.scheme == "http"}
    if parts.scheme != "https" and parts.hostname not in clear:
        raise InvalidSchema("an identity provider's endpoint has no https://")


def _read(response: Response) -> None:
    """Reads the body piece by piece, up to the maximum size."""
    body = bytearray()
    try:
        while piece := response.raw.read1(1 << 16, decode_content=True):
            body += piece
            if len(body) > MOST_BYTES:
                raise NotConnected("an identity provider's answer is too long")
    except DecodeError as problem:
        raise ContentDecodingError(problem) from problem
    finally:
        response.close()
    response._content = bytes(body)
    response.__dict__["_content_consumed"] = True  # as reading .content does; stubs lack it
