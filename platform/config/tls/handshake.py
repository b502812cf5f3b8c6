"""A connection of the web process until TLS is agreed: it counts, and has its deadline.

uvicorn would hand the certificate to the loop, whose connections nobody counts before that: whoever
connects and sends nothing could have as many as they like for a minute each.
"""

import asyncio
import ssl
from collections.abc import Callable
from typing import Any, cast

from django.conf import settings
from uvicorn.protocols.utils import get_remote_addr
from uvicorn.server import ServerState
from uvloop.loop import SSLProtocol  # type: ignore[attr-defined]  # not in its types

from config.http.bounded_http import Bounded, counted_address, crowd_of
from config.http.connection_limit import Crowd

GOODBYE_S = 5.0  # for the client's own word that it has ended

Context = Callable[[], ssl.SSLContext]


def secured(context: Context) -> Callable[..., "Door"]:
    """In place of the protocol's class, as uvicorn takes it."""

    def door(*, server_state: ServerState, **given: Any) -> Door:
        return Door(Secured(server_state=server_state, **given), server_state, context)

    return door


class Secured(Bounded):
    door: "Door | None" = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        if self.door:
            self.door.leave()
        super().connection_made(transport)


class Door(asyncio.Protocol):
    _crowd: Crowd | None = None
    _transport: asyncio.Transport
    _address, _due = "", 0.0

    def __init__(self, behind: Secured, server: ServerState, context: Context) -> None:
        self._behind, self._server, self._context = behind, server, context
        behind.door = self

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop has its own class
        self._address = counted_address(get_remote_addr(self._transport))
        crowd = crowd_of(self._server)
        if not crowd.join(self, self._address):
            return self._transport.abort()
        self._crowd = crowd
        return self._agree(asyncio.get_running_loop())

    def _agree(self, loop: asyncio.AbstractEventLoop) -> None:
        """As the loop itself does it, where it is given a certificate."""
        self._due = loop.time() + settings.HEAD_TIMEOUT_S
        over = loop.create_future()
        over.add_done_callback(self._over)
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

    def _over(self, told: asyncio.Future[None]) -> None:
        """Or there was no agreement: then nobody else hears of it."""
        self.leave()
        if not told.cancelled():
            told.exception()

    def leave(self) -> None:
        crowd, self._crowd = self._crowd, None
        self._behind.door = None  # no cycle that keeps connections in memory
        if crowd:
            crowd.leave(self, self._address)

    # As one of the crowd -------------------------------------------------------------------------
    def give_way(self) -> None:
        self.leave()
        self._transport.abort()

    def look_at_clock(self, now: float) -> None:
        if now >= self._due:
            self.give_way()
