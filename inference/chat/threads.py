"""The chat's short looks into the database, off the event loop.

Each runs in a thread of the pool and closes its connection afterwards: Channels' default would
make all sockets of a process wait for one thread.
"""

from collections.abc import Callable, Coroutine
from typing import Any, ParamSpec, TypeVar

from channels.db import database_sync_to_async

P = ParamSpec("P")
T = TypeVar("T")


def off_loop(look: Callable[P, T]) -> Callable[P, Coroutine[Any, Any, T]]:
    return database_sync_to_async(look, thread_sensitive=False)
