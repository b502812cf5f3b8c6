"""The states of one engine's server, starting, ready or dead, recorded in PostgreSQL.

All processes and pages read them there (`starting_since` of the engine's row). They are written
when they change and at no other time.
"""

import asyncio
import logging
import signal
import time
from collections.abc import Awaitable, Callable

import psycopg

from config.environment import DATABASE_PATIENCE
from config.supervisor.child import Child
from config.supervisor.engines.server_watch import ServerWatch
from config.supervisor.terminal import say

log = logging.getLogger(__name__)
LOOK_S = 0.5  # between checks while it starts
WATCH_S = 5.0  # between checks once it is ready
AGAIN_S = 2.0  # between writes while PostgreSQL is away
_WRITE = """
    update inference_engine
    set starting_since = case when %(starting)s then now() end, starting_reason = %(reason)s
    where name = %(name)s"""


class Life:
    """One engine's server, followed from start to end.

    `is_ready` asks the server; a start may take `within_s`. `watch` says why a ready server has to
    be restarted.
    """

    def __init__(
        self,
        engine: str,
        url: str,
        is_ready: Callable[[], Awaitable[bool]],
        within_s: float,
        watch: ServerWatch,
    ) -> None:
        self._engine, self._url = engine, f"postgresql://{url.partition('://')[2]}"
        self._is_ready, self._within_s, self._watch = is_ready, within_s, watch

    async def record_start(self) -> None:
        """Record that the server is starting."""
        await self._write(starting=True, reason="")

    async def __call__(self, child: Child) -> None:
        """Follow one life of the child until it ends, and record its end."""
        ending = await self._follow_one_life(child)
        say(f"ALERT engine:server {self._engine}: {child.name} {ending}")
        await self._write(starting=True, reason=ending)

    async def _follow_one_life(self, child: Child) -> str:
        """Wait until the server is ready, then until it ends. Returns how it ended."""
        began, ended = time.monotonic(), asyncio.create_task(child.ended())
        try:
            while not (ended.done() or await self._is_ready()):
                if time.monotonic() - began > self._within_s:
                    child.send(signal.SIGKILL)
                    await ended
                    return f"was not ready within {self._within_s:g} s"
                await asyncio.wait([ended], timeout=LOOK_S)
            while not (ended.done() or await self._write(starting=False, reason="")):
                await asyncio.wait([ended], timeout=AGAIN_S)
            return await self._watched(child, ended) or child.how_it_ended()
        finally:
            ended.cancel()

    async def _watched(self, child: Child, ended: asyncio.Task[int]) -> str:
        """Watch a ready server until it ends.

        Returns why it was killed; "" if it ended by itself.
        """
        child.has_requests()
        self._watch.begin()
        while not ended.done():
            if why := await self._watch.problem(child):
                child.send(signal.SIGKILL)
                await ended
                return why
            await asyncio.wait([ended], timeout=WATCH_S)
        return ""

    async def _write(self, *, starting: bool, reason: str) -> bool:
        """Record the state, and return whether PostgreSQL has it.

        Without it, only pages are outdated.
        """
        parameters = {"name": self._engine, "starting": starting, "reason": reason[:200]}
        try:
            connecting = psycopg.AsyncConnection.connect(
                self._url, autocommit=True, **DATABASE_PATIENCE
            )
            async with await connecting as connection:
                await connection.execute(_WRITE, parameters)
        except (psycopg.Error, OSError) as problem:
            log.info("cannot tell how the server of %s is: %s", self._engine, problem)
            return False
        return True
