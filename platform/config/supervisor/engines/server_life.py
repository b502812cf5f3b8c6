"""One engine's server from start to end: its states in PostgreSQL, and whether it makes progress.

All processes and pages read the states, starting, ready or dead, from `starting_since` of the
engine's row. They are written when they change and at no other time. The server's health check does
not say whether it makes progress: llama.cpp answers it while it is stuck in one request's grammar.
"""

import asyncio
import logging
import os
import signal
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import psycopg

from config.environment import DATABASE_PATIENCE
from config.supervisor.child import Child
from config.supervisor.engines.launch_command import EngineServer
from config.supervisor.http_probe import ProbeAnswer, get
from config.supervisor.terminal import say
from inference import engine_progress
from inference.engine_launch import HOST
from inference.engine_progress import STALL_S, EngineProgress

log = logging.getLogger(__name__)
LOOK_S = 0.5  # between checks while it starts
WATCH_S = 5.0  # between checks once it is ready
AGAIN_S = 2.0  # between writes while PostgreSQL is away
GROWS_MB = 2048  # a llama.cpp takes all it needs before it is ready
ASK_WITHIN_S = 5.0
LOOKS = 3  # at least so many without progress: a single one may have been late itself
IDLE_S = 1.0  # between looks at one that is to end: a runner hears within a second
_WRITE = """
    update inference_engine
    set starting_since = case when %(starting)s then now() end, starting_reason = %(reason)s
    where name = %(name)s"""
_FREE = """
    update inference_engine set gpu_free = true
    where name = %(name)s and lent_since is not null and stopped and returning_since is null"""


class ServerWatch:
    """The watch over one server from when it is ready. `server` may be replaced meanwhile."""

    def __init__(self, server: EngineServer) -> None:
        self.server = server
        self.begin()

    def begin(self) -> None:
        """Start anew: the server has become ready."""
        self._moved_at, self._looks = time.monotonic(), 0
        self._done: float | None = None
        self._most_mb: int | None = None

    async def problem(self, child: Child) -> str:
        """Returns why the server has to be restarted; "" while all is well."""
        now_mb = memory_mb(child.pid)
        if self._most_mb is None:
            usual = now_mb + GROWS_MB if self.server.kind == "llama_cpp" else 0
            self._most_mb = self.server.launch.memory_mb or usual
        if 0 < self._most_mb < now_mb:
            return f"took {now_mb} MB of memory, over its limit of {self._most_mb}"
        if await self._makes_progress():
            self._moved_at, self._looks = time.monotonic(), 0
            return ""
        self._looks += 1
        stall_s = float(self.server.fields.get("stall_s") or STALL_S)
        stalled = self._looks >= LOOKS and time.monotonic() - self._moved_at > stall_s
        return f"got nothing done for {stall_s:g} s" if stalled else ""

    async def _makes_progress(self) -> bool:
        """Returns whether the server's own figures show progress, or nothing to do.

        A server without figures is taken to make progress, one that does not answer is not.
        """
        figures = await _figures(self.server)
        if isinstance(figures, ProbeAnswer):
            return figures.status != 0
        before, self._done = self._done, figures.done
        return not figures.busy or figures.done != before


async def until_idle(server: EngineServer, within_s: float) -> None:
    """Return once it has had no request for a moment, by its own figures, or after `within_s`.

    A server without figures, and one that does not answer, is not waited for.
    """
    until, looks = time.monotonic() + within_s, 0
    while looks < LOOKS and time.monotonic() < until:
        figures = await _figures(server)
        looks = 0 if isinstance(figures, EngineProgress) and figures.busy else looks + 1
        await asyncio.sleep(IDLE_S)


async def _figures(server: EngineServer) -> EngineProgress | ProbeAnswer:
    """Returns its own figures, or its answer where it gives none."""
    key = {"Authorization": f"Bearer {server.api_key}"}
    answer = await get(HOST, server.port, "/metrics", ASK_WITHIN_S, headers=key)
    return (answer.status == 200 and engine_progress.read(server.kind, answer.body)) or answer


def memory_mb(group: int) -> int:
    """Returns the memory of a group of processes that no file backs: mapped models do not count."""
    kilobytes = 0
    for name in filter(str.isdecimal, os.listdir("/proc")):
        try:
            if os.getpgid(int(name)) == group:
                status = Path(f"/proc/{name}/status").read_text(errors="replace")  # any name
                anonymous = (line for line in status.splitlines() if line.startswith("RssAnon:"))
                kilobytes += sum(int(line.split()[1]) for line in anonymous)
        except OSError:  # it has ended
            continue
    return kilobytes // 1024


async def free_gpu(url: str, engine: str) -> None:
    """Record that the server of a lent engine has left its GPU: a job may begin.

    Without PostgreSQL the next look at the engines repeats it.
    """
    try:
        async with await psycopg.AsyncConnection.connect(
            _plain(url), autocommit=True, **DATABASE_PATIENCE
        ) as connection:
            await connection.execute(_FREE, {"name": engine})
    except (psycopg.Error, OSError) as problem:
        log.info("cannot tell that the GPU of %s is free: %s", engine, problem)


def _plain(url: str) -> str:
    """Returns Django's address of the database as PostgreSQL's library reads it."""
    return f"postgresql://{url.partition('://')[2]}"


class ServerLife:
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
        self._engine, self._url = engine, _plain(url)
        self._is_ready, self._within_s, self._watch = is_ready, within_s, watch

    async def record_start(self) -> None:
        """Record that the server is starting."""
        await self._write(starting=True, reason="")

    async def __call__(self, child: Child) -> None:
        """Follow one life of the child until it ends, and record its end."""
        ended = asyncio.create_task(child.ended())
        try:
            ending = await self._until_ready(child, ended) or await self._watched(child, ended)
        finally:
            ended.cancel()
        ending = ending or child.how_it_ended()
        say(f"ALERT engine:server {self._engine}: {child.name} {ending}")
        await self._write(starting=True, reason=ending)

    async def _until_ready(self, child: Child, ended: asyncio.Task[int]) -> str:
        """Wait until the server is ready, and record that.

        Returns why it was killed before; "" if it is ready, or ended by itself.
        """
        began = time.monotonic()
        while not (ended.done() or await self._is_ready()):
            if time.monotonic() - began > self._within_s:
                child.send(signal.SIGKILL)
                await ended
                return f"was not ready within {self._within_s:g} s"
            await asyncio.wait([ended], timeout=LOOK_S)
        while not (ended.done() or await self._write(starting=False, reason="")):
            await asyncio.wait([ended], timeout=AGAIN_S)
        return ""

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
