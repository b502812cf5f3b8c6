"""Signals to a run while it works, and the interruption of its work."""

import asyncio
import time
from collections.abc import Awaitable
from typing import Any

from inference.engines.base import EngineFailed


class ParksHere(Exception):
    """The run shall park, and can be resumed from here."""

    is_no_failure = True  # for its span


class Signals:
    def __init__(self) -> None:
        self.cancelled = False
        self.lease_lost = False
        self.lost: EngineFailed | None = None  # the engine has gone silent
        self.must_park = False  # a higher class waits for the slot, or the worker stops
        self.worker_stops = False  # then it parks whoever waits
        self.parks_here = False
        self._working: asyncio.Task[Any] | None = None

    @property
    def works(self) -> bool:
        """Whether the run waits for its engine, and not for its settlement."""
        return self._working is not None

    @property
    def is_expected(self) -> bool:
        """Whether somebody wanted the work to be interrupted."""
        return self.cancelled or self.parks_here

    def cancel(self) -> None:
        if not self.cancelled:
            self._interrupt()
        self.cancelled = True

    def lose_lease(self) -> None:
        """Another runner has the order by now: stop, and leave no trace."""
        self.lease_lost = True
        self.cancel()

    def lose_engine(self, failure: EngineFailed) -> None:
        """The engine does not answer any more, and this is not going to end."""
        self.lost = failure
        if not self.cancelled:
            self._interrupt()

    def park_now(self) -> None:
        """Interrupt the work at a place from which it can be resumed."""
        if self._working:
            self.parks_here = True
            self._interrupt()

    async def bounded(self, work: Awaitable[None], until: float) -> None:
        """Do the work. Raises TimeoutError at `until`, in seconds since the epoch."""
        task = asyncio.current_task()
        assert task
        cancels, self._working = task.cancelling(), task
        try:
            async with asyncio.timeout(until - time.time()):
                await work
        finally:
            self._working = None
            while task.cancelling() > cancels:  # of the work: the task has it to settle
                task.uncancel()

    def _interrupt(self) -> None:
        if self._working:
            self._working.cancel()
