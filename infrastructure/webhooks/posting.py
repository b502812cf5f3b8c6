"""One POST to a webhook, with bounds of time and size. It goes to allowed addresses alone.

Redirects are not followed, and nothing is sent twice.
"""

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlsplit

import aiohttp

from infrastructure import outgoing_tls
from infrastructure.networks import AddressRefused
from infrastructure.webhooks import addresses

_CONNECT_S = 5.0
_NOT_SENT = (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError, aiohttp.InvalidURL)


@dataclass(frozen=True, slots=True)
class Post:
    url: str
    body: bytes
    headers: Mapping[str, str]
    timeout_s: float


@dataclass(frozen=True, slots=True)
class Answer:
    """The receiver's answer. Without a status `problem` says why, `is_sent` if it may be there.

    `body` is None for one that is too long, or that was not read: of an error or a redirect.
    `retry_after_s` is what a receiver asks for that refuses for now, 0 if it asks for nothing.
    """

    status: int | None = None
    body: bytes | None = None
    problem: str = ""
    is_sent: bool = True
    retry_after_s: float = 0.0


class _Connector(aiohttp.TCPConnector):
    """Remembers its connections: over TLS each would wait for the service to close it too."""

    def __init__(self, post: Post) -> None:
        super().__init__(socket_factory=addresses.socket_factory(post.url))
        self._transports: list[asyncio.BaseTransport] = []

    async def connect(self, *arguments: Any, **more: Any) -> Any:
        connection = await super().connect(*arguments, **more)
        if connection.transport:
            self._transports.append(connection.transport)
        return connection

    def abort(self) -> None:
        for transport in self._transports:
            if isinstance(transport, asyncio.WriteTransport):
                transport.abort()


async def send(post: Post, largest_answer: int) -> Answer:
    connector = _Connector(post)
    try:
        async with _session(post, connector) as http:
            try:
                return await _sent(http, post, largest_answer)
            finally:
                connector.abort()
    except (*_NOT_SENT, outgoing_tls.WrongFiles, UnicodeError) as problem:
        return Answer(problem=_why_not_sent(problem), is_sent=False)
    except TimeoutError:
        return Answer(problem="timeout")
    except (aiohttp.ClientError, OSError):
        return Answer(problem="broken_off")


async def _sent(http: aiohttp.ClientSession, post: Post, largest_answer: int) -> Answer:
    async with _request(http, post) as response:
        body = await _bounded(response, largest_answer) if response.status < 300 else None
        _abort_unread(response)
        wait_s = _retry_after_s(response.headers.get("Retry-After", ""))
        return Answer(response.status, body, retry_after_s=wait_s)


def _session(post: Post, connector: _Connector) -> aiohttp.ClientSession:
    connect_s = min(_CONNECT_S, post.timeout_s / 2)
    return aiohttp.ClientSession(
        connector=connector,
        timeout=aiohttp.ClientTimeout(
            total=post.timeout_s, connect=connect_s, sock_connect=connect_s
        ),
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=False,
    )


def _request(http: aiohttp.ClientSession, post: Post) -> Any:
    url = urlsplit(post.url)
    tls = outgoing_tls.context(url.hostname or "") if url.scheme == "https" else True
    headers = {
        "Content-Type": "application/json",
        "Accept": "application/json",
        "Accept-Encoding": "identity",
        "User-Agent": "Forebay",
        **post.headers,
    }
    return http.post(post.url, data=post.body, headers=headers, allow_redirects=False, ssl=tls)


def _abort_unread(response: aiohttp.ClientResponse) -> None:
    """Close a connection with an unread body now, not when its service agrees to close it."""
    if response.connection and response.connection.transport:
        response.connection.transport.abort()


async def _bounded(response: aiohttp.ClientResponse, largest: int) -> bytes | None:
    """Returns the body, None for one that is too long."""
    raw = bytearray()
    async for piece in response.content.iter_chunked(16 * 1024):
        raw += piece
        if len(raw) > largest:
            return None
    return bytes(raw)


def _retry_after_s(text: str) -> float:
    """Returns the seconds of a header that has them, or the time of HTTP until which to wait."""
    if text.isascii() and text.isdigit():
        return float(text[:9])
    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - time.time())
    except (ValueError, OverflowError):
        return 0.0


def _why_not_sent(problem: Exception) -> str:
    if isinstance(problem, aiohttp.ClientConnectorError):
        if isinstance(problem.os_error, AddressRefused):
            return "address_refused"
        return "tls" if isinstance(problem, aiohttp.ClientSSLError) else "unreachable"
    return "tls" if isinstance(problem, outgoing_tls.WrongFiles) else "unreachable"
