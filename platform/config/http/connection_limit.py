"""The limit on connections to this web process, and which one is closed when there are too many.

A connection waits while it holds no complete request. Where an address, or everybody together, has
as many connections as allowed, the one that has waited longest is closed for the newcomer; only
where none waits is the newcomer refused. So a flood of idle connections pushes out itself.
"""

import asyncio
import resource
from collections import OrderedDict
from typing import Protocol

from django.conf import settings

SPARE_FILES = 256  # for PostgreSQL, Redis, engines and logs


class Connection(Protocol):
    def give_way(self) -> None:
        """Close the connection and leave the limit's count now."""

    def look_at_clock(self, now: float) -> None:
        """Close the connection if its client has taken too long."""


class _Address:
    __slots__ = ("count", "waiting")

    def __init__(self) -> None:
        self.count = 0
        self.waiting: OrderedDict[Connection, None] = OrderedDict()


class ConnectionLimit:
    """The connections of one web process.

    `most_of_address` 0 means no limit per address; the address "" is never limited.
    """

    TICK_S = 1.0

    def __init__(self, most: int, most_of_address: int) -> None:
        self._most, self._most_of_address = most, most_of_address
        self._addresses: dict[str, _Address] = {}
        self._waiting: OrderedDict[Connection, None] = OrderedDict()
        self._ticking = False
        self.count = 0

    def join(self, connection: Connection, address: str) -> bool:
        """Count a connection, which waits from now on. Returns False if there is no room for it."""
        here = self._addresses.setdefault(address, _Address())
        most = self._most_of_address if address else 0
        if not (
            _room(here.count, most, here.waiting) and _room(self.count, self._most, self._waiting)
        ):
            self._forget_if_empty(address, here)
            return False
        # The connection that gave way may have been the last of this address.
        here = self._addresses.setdefault(address, here)
        here.count += 1
        self.count += 1
        self.mark_waiting(connection, address)
        self._tick()
        return True

    def leave(self, connection: Connection, address: str) -> None:
        self.mark_working(connection, address)
        here = self._addresses[address]
        here.count -= 1
        self.count -= 1
        self._forget_if_empty(address, here)

    def mark_waiting(self, connection: Connection, address: str) -> None:
        self._waiting[connection] = None
        self._addresses[address].waiting[connection] = None

    def mark_working(self, connection: Connection, address: str) -> None:
        """Note that the client has sent a complete request."""
        self._waiting.pop(connection, None)
        self._addresses[address].waiting.pop(connection, None)

    def _forget_if_empty(self, address: str, here: _Address) -> None:
        if not here.count:
            self._addresses.pop(address, None)

    # One timer for all ---------------------------------------------------------------------------
    def _tick(self) -> None:
        if not self._ticking:
            self._ticking = True
            asyncio.get_running_loop().call_later(self.TICK_S, self._look)

    def _look(self) -> None:
        self._ticking = False
        now = asyncio.get_running_loop().time()
        for connection in list(self._waiting):
            connection.look_at_clock(now)
        if self.count:
            self._tick()


def _room(count: int, most: int, waiting: OrderedDict[Connection, None]) -> bool:
    """Returns whether there is room, for which a waiting connection may be closed."""
    if not most or count < most:
        return True
    if not waiting:
        return False
    next(iter(waiting)).give_way()
    return True


def most_connections() -> int:
    return min(settings.CONNECTIONS or most_files(), most_files())


def most_files() -> int:
    """Raise the limit of open files to what the system allows; return how many connections fit."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        soft = 1 << 20 if hard == resource.RLIM_INFINITY else hard
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return max(SPARE_FILES, soft - SPARE_FILES)
