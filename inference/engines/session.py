"""The connections of one runner, or of one look around, to its engines.

Orders go over `post`; what is asked now and then (health, slots, tokens of a prompt) over `http`.
Both check each address before they connect to it (networks.py): what a name meant when its engine
was made says nothing about what it means now.
"""

import asyncio
import ssl
from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager, suppress
from functools import lru_cache
from typing import NamedTuple, Self
from urllib.parse import urlsplit

import aiohttp

from inference.engines import networks
from inference.engines.connection import Answer, Connection, NoConnection
from inference.engines.gathering import Gathering
from inference.engines.why_away import why_away
from infrastructure import outgoing_tls

CONNECT_S = 5.0
# Shorter than engines keep them: a request that meets the closing is not sent again.
KEPT_S = 3.0
RESTS_S = 0.05  # after a stream: llama.cpp closes the connection then, without a word before


class Origin(NamedTuple):
    secure: bool
    host: str
    port: int
    hosted: bool  # somebody else's machine: else it must have an address of ours


class _Connector(aiohttp.TCPConnector):
    """aiohttp has one context for all hosts, or one for each call: ours are of each host."""

    def _get_ssl_context(self, req: aiohttp.ClientRequest) -> ssl.SSLContext | None:
        return outgoing_tls.context(req.url.host or "") if req.url.scheme == "https" else None


class EngineSession:
    """Needs a running loop. Use it as a context: at its end all connections are closed."""

    def __init__(self) -> None:
        self._http: dict[bool, aiohttp.ClientSession] = {}
        self.gathering = Gathering()
        self._idle: dict[Origin, list[Connection]] = {}
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
                connector=_Connector(limit=0, keepalive_timeout=KEPT_S, socket_factory=factory),
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
        """`more`: whole lines of its head that differ each time.

        A context: raises NoConnection, and BrokenOff where the engine may have had it."""
        return _Post(self, _parsed(url, hosted), url, body, headers, more)

    async def connection(self, origin: Origin) -> Connection:
        """Raises NoConnection. Whoever takes it gives it back: `over`."""
        return self._kept(origin) or await _connected(origin)

    def over(self, origin: Origin, connection: Connection) -> None:
        if connection.reusable:
            self._keep(origin, connection)
        else:
            connection.close()

    def _kept(self, origin: Origin) -> Connection | None:
        """The one that was used last, and is sure to be kept by the engine."""
        idle, now = self._idle.get(origin, []), asyncio.get_running_loop().time()
        resting = list[Connection]()
        try:
            while idle:
                connection = idle.pop()
                if connection.closed or now - connection.idle_since >= KEPT_S:
                    connection.close()
                elif connection.streamed and now - connection.idle_since < RESTS_S:
                    resting.append(connection)
                else:
                    return connection
            return None
        finally:
            idle += reversed(resting)

    def _keep(self, origin: Origin, connection: Connection) -> None:
        loop = asyncio.get_running_loop()
        connection.idle_since = loop.time()
        self._idle.setdefault(origin, []).append(connection)
        if self._tidying is None:
            self._tidying = loop.call_later(KEPT_S, self._tidy)

    def _tidy(self) -> None:
        """Closes those that nobody has wanted for KEPT_S."""
        loop, self._tidying = asyncio.get_running_loop(), None
        oldest = loop.time() - KEPT_S
        for origin, idle in list(self._idle.items()):
            for connection in idle:
                if connection.idle_since <= oldest:
                    connection.close()
            self._idle[origin] = [one for one in idle if not one.closed]
        self._idle = {origin: idle for origin, idle in self._idle.items() if idle}
        if self._idle:
            self._tidying = loop.call_later(KEPT_S, self._tidy)


class _Post(AbstractAsyncContextManager[Answer]):
    """One order on its way. A class costs less than a generator does."""

    def __init__(
        self,
        session: EngineSession,
        target: tuple[Origin, str],
        url: str,
        body: bytes,
        headers: Mapping[str, str],
        more: bytes,
    ) -> None:
        self._session, self._url, self._body, self._headers = session, url, body, headers
        self._more = more
        self._origin, self._target = target
        self._connection: Connection

    async def __aenter__(self) -> Answer:
        head = _request(self._url, self._target, self._headers, len(self._body), self._more)
        self._connection = connection = await self._session.connection(self._origin)
        try:
            return await connection.ask(head + self._body)
        except BaseException:
            self._session.over(self._origin, connection)
            raise

    async def __aexit__(self, *_problem: object) -> None:
        self._session.over(self._origin, self._connection)


async def _connected(origin: Origin) -> Connection:
    """Raises NoConnection."""
    try:
        async with asyncio.timeout(CONNECT_S):
            addresses = await networks.connectable(origin.host, origin.port, hosted=origin.hosted)
            return await _connected_to_one(addresses, origin)
    except (OSError, TimeoutError, UnicodeError) as problem:
        raise NoConnection(why_away(problem)) from None


async def _connected_to_one(addresses: list[str], origin: Origin) -> Connection:
    """Tries one after the other. Raises OSError."""
    *others, last = addresses
    for address in others:
        with suppress(OSError):
            return await _connected_to(address, origin)
    return await _connected_to(last, origin)


async def _connected_to(address: str, origin: Origin) -> Connection:
    """Connects to an address of the host, whose certificate must still be the host's."""
    secure = outgoing_tls.context(origin.host) if origin.secure else None
    _, connection = await asyncio.get_running_loop().create_connection(
        Connection,
        address,
        origin.port,
        ssl=secure,
        server_hostname=origin.host if secure else None,
    )
    return connection


@lru_cache(256)
def _parsed(url: str, hosted: bool) -> tuple[Origin, str]:
    """Where it is, and what is asked for there."""
    found = urlsplit(url)
    secure = found.scheme == "https"
    target = (found.path or "/") + (f"?{found.query}" if found.query else "")
    port = found.port or (443 if secure else 80)
    return Origin(secure, found.hostname or "", port, hosted), target


def _request(url: str, target: str, headers: Mapping[str, str], length: int, more: bytes) -> bytes:
    head = _head(url, target, tuple(headers.items()))
    return b"%b%bContent-Length: %d\r\n\r\n" % (head, more, length)


@lru_cache(256)
def _head(url: str, target: str, headers: tuple[tuple[str, str], ...]) -> bytes:
    """Raises ValueError for what would be more than a line."""
    host = urlsplit(url).netloc.rpartition("@")[2]
    lines = [f"POST {target} HTTP/1.1", f"Host: {host}", "User-Agent: forebay", "Accept: */*"]
    lines += [f"{name}: {value}" for name, value in headers]
    if any("\r" in line or "\n" in line for line in lines):
        raise ValueError("a line of the request's head holds a line break")
    return "\r\n".join([*lines, ""]).encode("latin-1")
