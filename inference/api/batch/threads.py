"""Runs blocking work in threads, short work apart from long."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import ParamSpec, TypeVar

from django.db import close_old_connections

P = ParamSpec("P")
T = TypeVar("T")
_threads = ThreadPoolExecutor(4, "batch")
# Whole files are read and written here, so that they never delay the renewal of a lease.
_long = ThreadPoolExecutor(2, "batch-files")


async def in_thread(work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    return await _in(_threads, partial(work, *args, **kwargs))


async def in_long_thread(work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Run work that may take as long as a file of 200 MB does."""
    return await _in(_long, partial(work, *args, **kwargs))


async def _in(threads: ThreadPoolExecutor, work: Callable[[], T]) -> T:
    def clean() -> T:
        close_old_connections()
        try:
            return work()
        finally:
            close_old_connections()

    return await asyncio.get_running_loop().run_in_executor(threads, clean)
