"""Calls to PostgreSQL of a worker that has a trainer running: they wait while it is away."""

import asyncio
import logging
from collections.abc import Callable
from typing import TypeVar

from channels.db import database_sync_to_async
from django.db import InterfaceError, OperationalError

log = logging.getLogger(__name__)
T = TypeVar("T")
AGAIN_S = 0.5


async def in_database(work: Callable[..., T], *arguments: object) -> T:
    """Run a short call, which may be repeated, until PostgreSQL answers."""
    return await _patiently(True, work, *arguments)


async def in_thread(work: Callable[..., T], *arguments: object) -> T:
    """Run what may take minutes in a thread of its own; it may be repeated, too."""
    return await _patiently(False, work, *arguments)


async def _patiently(shares_thread: bool, work: Callable[..., T], *arguments: object) -> T:
    call = database_sync_to_async(work, thread_sensitive=shares_thread)
    while True:
        try:
            return await call(*arguments)
        except (OperationalError, InterfaceError) as problem:
            log.warning("a job waits for PostgreSQL: %s", problem)
            await asyncio.sleep(AGAIN_S)
