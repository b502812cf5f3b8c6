"""Threads for the database work of requests that do not run in a thread of their own.

Each keeps its connection: to open one costs PostgreSQL a process, and both sides a password check
(SCRAM-SHA-256), several times what a look-up does. A kept connection is as good as new: before
each use `DISCARD ALL` takes back what a session can set or lock, and finds one that has ended.
"""

from asyncio import AbstractEventLoop
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, ParamSpec, TypeVar

from asgiref.sync import SyncToAsync
from django.conf import settings
from django.db import Error, connections

P = ParamSpec("P")
T = TypeVar("T")
THREADS = 8  # of the connections that docs/deployment-web.md allows a process

_threads = ThreadPoolExecutor(THREADS, "request-rows")


def in_request_thread(work: Callable[P, T]) -> SyncToAsync[P, T]:
    """Returns the work as a coroutine function that runs it in one of these threads."""
    return _InRequestThread(work, thread_sensitive=False, executor=_threads)


class _InRequestThread(SyncToAsync[P, T]):
    def thread_handler(self, loop: AbstractEventLoop, *args: Any, **kwargs: Any) -> Any:
        _renew()
        try:
            return super().thread_handler(loop, *args, **kwargs)  # type: ignore[no-untyped-call]
        finally:
            _close()


def _renew() -> None:
    connection = connections["default"]
    if connection.connection is None:
        return
    try:
        with connection.cursor() as cursor:
            cursor.execute("discard all")
        connection.ensure_timezone()
    except Error:
        connection.close()  # the next statement opens another one


def _close() -> None:
    """Close all but the connection of requests, which sees nothing outside a scope."""
    for connection in connections.all(initialized_only=True):
        if connection.alias != "default" or settings.DATABASE_SCOPE != "none":
            connection.close()
