"""A connection of the web process until TLS is agreed: it counts, and has its deadline.

uvicorn would hand the certificate to the loop, whose connections nobody counts before that: a
client that connects and sends nothing could have as many as it likes for a minute each.
"""

import asyncio
import ssl
from collections.abc import Callable
from typing import Any, cast

from django.conf import settings
from uvicorn.protocols.utils import get_remote_addr
from uvicorn.server import ServerState
from uvloop.loop import SSLProtocol  # type: ignore[attr-defined]  # not in its types

from config.http.bounded_http import Bounded, connection_limit_of, counted_address
from config.http.connection_limit import ConnectionLimit

GOODBYE_S = 5.0  # wait for the client's own close_notify

Context = Callable[[], ssl.SSLContext]


def secured(context: Context) -> Callable[..., "Door"]:
    """Returns a factory to pass to uvicorn in place of the protocol's class."""

    def door(*, server_state: ServerState, **options: Any) -> Door:
        return Door(Secured(server_state=server_state, **options), server_state, context)

    return door


class Secured(Bounded):
    door: "Door | None" = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        if self.door:
            self.door.leave()
        super().connection_made(transport)


class Door(asyncio.Protocol):
    _limit: ConnectionLimit | None = None
    _transport: asyncio.Transport
    _address, _due = "", 0.0

    def __init__(self, behind: Secured, server: ServerState, context: Context) -> None:
        self._behind, self._server, self._context = behind, server, context
        behind.door = self

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop has its own class
        self._address = counted_address(get_remote_addr(self._transport))
        limit = connection_limit_of(self._server)
        if not limit.join(self, self._address):
            return self._transport.abort()
        self._limit = limit
        return self._agree(asyncio.get_running_loop())

    def _agree(self, loop: asyncio.AbstractEventLoop) -> None:
        """Start the handshake, as the loop itself does it with a certificate."""
        self._due = loop.time() + settings.HEAD_TIMEOUT_S
        over = loop.create_future()
        over.add_done_callback(self._end_handshake)
        tls = SSLProtocol(
            loop,
            self._behind,
            self._context(),
            over,
            server_side=True,
            ssl_handshake_timeout=max(1, settings.HEAD_TIMEOUT_S),
            ssl_shutdown_timeout=GOODBYE_S,
        )
        self._transport.set_protocol(tls)
        tls.connection_made(self._transport)

    def _end_handshake(self, outcome: asyncio.Future[None]) -> None:
        """Stop counting. A failed handshake's exception is taken, so that nothing logs it."""
        self.leave()
        if not outcome.cancelled():
            outcome.exception()

    def leave(self) -> None:
        limit, self._limit = self._limit, None
        self._behind.door = None  # a reference cycle would keep connections in memory
        if limit:
            limit.leave(self, self._address)

    # As one of the limited connections ------------------------------------------------------------
    def give_way(self) -> None:
        self.leave()
        self._transport.abort()

    def look_at_clock(self, now: float) -> None:
        if now >= self._due:
            self.give_way()
