"""Pools of threads for blocking work, apart from each other and from the event loop's own."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import ParamSpec, TypeVar

from django.db import close_old_connections

P = ParamSpec("P")
T = TypeVar("T")


class Threads:
    def __init__(self, most: int, name: str) -> None:
        self._pool = ThreadPoolExecutor(most, name)

    async def run(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._pool, partial(_clean, work, *args, **kwargs))


def _clean(work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Run it with fresh connections to the database, and close them."""
    close_old_connections()
    try:
        return work(*args, **kwargs)
    finally:
        close_old_connections()
