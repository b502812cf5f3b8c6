"""The connections of one runner, or of one health check, to its engines.

Orders go over `post`; occasional questions (health, slots, tokens of a prompt) over `http`. Both
check each address before they connect to it (infrastructure/networks.py): a name may resolve to
another address than it did when its engine was added.
"""

import asyncio
import logging
import ssl
from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager, suppress
from functools import lru_cache
from typing import NamedTuple, Self
from urllib.parse import urlsplit

import aiohttp

from inference.engines.transport.batched_reading import Gathering
from inference.engines.transport.connection import EngineConnection, EngineResponse, NoConnection
from inference.engines.transport.failure_reason import why_away
from infrastructure import networks, outgoing_tls

log = logging.getLogger(__name__)
CONNECT_S = 5.0
# Shorter than engines keep them: a request that meets a closing connection is not retried.
IDLE_S = 3.0
LONGEST_REPORT, _PIECE = 4 * 1024 * 1024, 64 * 1024  # bytes
STREAM_REST_S = 0.05  # after a stream, since llama.cpp closes the connection then unannounced


class Origin(NamedTuple):
    secure: bool
    host: str
    port: int
    hosted: bool  # on a machine of others; else its address must be in our networks


class _Connector(aiohttp.TCPConnector):
    """A connector with a TLS context for each host. aiohttp has one for all, or for each call."""

    def _get_ssl_context(self, req: aiohttp.ClientRequest) -> ssl.SSLContext | None:
        return outgoing_tls.context(req.url.host or "") if req.url.scheme == "https" else None


class EngineSession:
    """A context that needs a running loop. It closes all connections at its end."""

    def __init__(self) -> None:
        self._http: dict[bool, aiohttp.ClientSession] = {}
        self.gathering = Gathering()
        self._idle: dict[Origin, list[EngineConnection]] = {}
        self._tidying: asyncio.TimerHandle | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_problem: object) -> None:
        if self._tidying:
            self._tidying.cancel()
        for connections in self._idle.values():
            for connection in connections:
                connection.close()
        self._idle.clear()
        for http in self._http.values():
            await http.close()

    def http(self, *, hosted: bool) -> aiohttp.ClientSession:
        """Returns the client for engines that are hosted, or for those that are not."""
        if hosted not in self._http:
            factory = networks.socket_factory(hosted=hosted)
            self._http[hosted] = aiohttp.ClientSession(
                connector=_Connector(limit=0, keepalive_timeout=IDLE_S, socket_factory=factory),
                timeout=aiohttp.ClientTimeout(total=None, connect=CONNECT_S),
            )
        return self._http[hosted]

    def post(
        self,
        url: str,
        body: bytes,
        headers: Mapping[str, str],
        more: bytes = b"",
        *,
        hosted: bool = False,
    ) -> "_Post":
        """Returns a context of the answer to a POST; `more` are header lines that differ each time.

        Raises NoConnection, and BrokenOff if the engine may have received the request.
        """
        return _Post(self, _parsed(url, hosted), url, body, headers, more)

    async def connection(self, origin: Origin) -> EngineConnection:
        """Returns a connection, which `release` takes back. Raises NoConnection."""
        return self._idle_connection(origin) or await _connected(origin)

    def release(self, origin: Origin, connection: EngineConnection) -> None:
        if connection.reusable:
            self._keep(origin, connection)
        else:
            connection.close()

    def _idle_connection(self, origin: Origin) -> EngineConnection | None:
        """Returns the connection that was used last and that the engine surely keeps."""
        idle, now = self._idle.get(origin, []), asyncio.get_running_loop().time()
        resting = list[EngineConnection]()
        try:
            while idle:
                connection = idle.pop()
                if connection.closed or now - connection.idle_since >= IDLE_S:
                    connection.close()
                elif connection.streamed and now - connection.idle_since < STREAM_REST_S:
                    resting.append(connection)
                else:
                    return connection
            return None
        finally:
            idle += reversed(resting)

    def _keep(self, origin: Origin, connection: EngineConnection) -> None:
        loop = asyncio.get_running_loop()
        connection.idle_since = loop.time()
        self._idle.setdefault(origin, []).append(connection)
        if self._tidying is None:
            self._tidying = loop.call_later(IDLE_S, self._tidy)

    def _tidy(self) -> None:
        """Close those that were idle for IDLE_S."""
        loop, self._tidying = asyncio.get_running_loop(), None
        oldest = loop.time() - IDLE_S
        for origin, idle in list(self._idle.items()):
            for connection in idle:
                if connection.idle_since <= oldest:
                    connection.close()
            self._idle[origin] = [each for each in idle if not each.closed]
        self._idle = {origin: idle for origin, idle in self._idle.items() if idle}
        if self._idle:
            self._tidying = loop.call_later(IDLE_S, self._tidy)


class _Post(AbstractAsyncContextManager[EngineResponse]):
    """One order under way. A class costs less than a generator."""

    def __init__(
        self,
        session: EngineSession,
        target: tuple[Origin, str],
        url: str,
        body: bytes,
        headers: Mapping[str, str],
        more: bytes,
    ) -> None:
        self._session, self._url, self._body = session, url, body
        self._headers, self._more = headers, more
        self._origin, self._target = target
        self._connection: EngineConnection

    async def __aenter__(self) -> EngineResponse:
        head = _head(self._url, self._target, tuple(self._headers.items()))
        request = b"%b%bContent-Length: %d\r\n\r\n" % (head, self._more, len(self._body))
        self._connection = connection = await self._session.connection(self._origin)
        try:
            return await connection.ask(request + self._body)
        except BaseException:
            self._session.release(self._origin, connection)
            raise

    async def __aexit__(self, *_problem: object) -> None:
        self._session.release(self._origin, self._connection)


async def _connected(origin: Origin) -> EngineConnection:
    """Connect to the origin. Raises NoConnection."""
    try:
        async with asyncio.timeout(CONNECT_S):
            addresses = await networks.connectable(origin.host, origin.port, hosted=origin.hosted)
            return await _connected_to_one(addresses, origin)
    except (OSError, TimeoutError, UnicodeError) as problem:
        raise NoConnection(why_away(problem)) from None


async def _connected_to_one(addresses: list[str], origin: Origin) -> EngineConnection:
    """Try the addresses one after the other. Raises OSError."""
    *others, last = addresses
    for address in others:
        with suppress(OSError):
            return await _connected_to(address, origin)
    return await _connected_to(last, origin)


async def _connected_to(address: str, origin: Origin) -> EngineConnection:
    """Connect to an address of the host, whose certificate must still be the host's."""
    secure = outgoing_tls.context(origin.host) if origin.secure else None
    _, connection = await asyncio.get_running_loop().create_connection(
        EngineConnection,
        address,
        origin.port,
        ssl=secure,
        server_hostname=origin.host if secure else None,
    )
    return connection


@lru_cache(256)
def _parsed(url: str, hosted: bool) -> tuple[Origin, str]:
    parts = urlsplit(url)
    secure = parts.scheme == "https"
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    port = parts.port or (443 if secure else 80)
    return Origin(secure, parts.hostname or "", port, hosted), target


@lru_cache(256)
def _head(url: str, target: str, headers: tuple[tuple[str, str], ...]) -> bytes:
    """Returns the constant lines of a request's head. Raises ValueError for a line break in one."""
    host = urlsplit(url).netloc.rpartition("@")[2]
    lines = [f"POST {target} HTTP/1.1", f"Host: {host}", "User-Agent: forebay", "Accept: */*"]
    lines += [f"{name}: {value}" for name, value in headers]
    if any("\r" in line or "\n" in line for line in lines):
        raise ValueError("a line of the request's head holds a line break")
    return "\r\n".join([*lines, ""]).encode("latin-1")


# Reports of an engine: health, models, metrics ----------------------------------------------------
class TooLong(ValueError):
    """An answer beyond the bound. The rest was not read."""

    def __init__(self, url: object) -> None:
        super().__init__(f"{url} answered with more than {LONGEST_REPORT} bytes")


async def report_in(response: aiohttp.ClientResponse) -> bytes:
    """Read a body up to LONGEST_REPORT, decompressed. Raises TooLong, aiohttp.ClientError."""
    pieces, length = list[bytes](), 0
    async for piece in response.content.iter_chunked(_PIECE):
        length += len(piece)
        if length > LONGEST_REPORT:
            problem = TooLong(response.url)
            log.warning("answer of %s is too large; the rest was not read", response.url)
            raise problem
        pieces.append(piece)
    return b"".join(pieces)
