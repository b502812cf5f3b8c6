"""The keeper of all children: it starts them, restarts the dead, and stops all in order."""

import asyncio
import os
import re
import shutil
import signal
import time
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from typing import Any

from config import environment
from config.logs.formatting import NAME
from config.supervisor import forking
from config.supervisor.child import Child, Stage
from config.supervisor.forking import ForkServer
from config.supervisor.home import Home
from config.supervisor.own_processes import RUN_ID, OwnProcesses
from config.supervisor.terminal import RunProblem, say, seconds
from config.supervisor.watchdog import Watchdog

FIRST_PAUSE, LONGEST_PAUSE = 0.5, 4.0  # with the start itself: back within ten seconds
STEADY = 20.0  # seconds of life after which a death counts as the first again
# Together under the ten seconds that Ctrl-C may take, unless FOREBAY_DRAIN_S asks for more.
PATIENCE = {Stage.DOOR: 3.5, Stage.WORK: 3.0, Stage.SERVER: 2.5}
# systemd's messages to this process.
_OF_SYSTEMD = ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID")
_FULL = 16 * 1024 * 1024  # free bytes: with fewer, a failure is blamed on the full disk
_ERROR = re.compile(r"\b(?:FATAL|PANIC|ERROR|error): ")
# Returns what a child still lacks, as text for a person; None once it is ready.
WhatIsMissing = Callable[[], Awaitable[str | None]]
Life = Callable[[Child], Awaitable[object]]  # returns when it has ended


class Keeper:
    def __init__(self, home: Home, own_processes: OwnProcesses) -> None:
        self._home, self._own_processes = home, own_processes
        self._watchdog = Watchdog(own_processes.run_id)
        self.forks = ForkServer()
        self.beside_engine = False  # an embedded engine computes on the same processors
        self._children: list[Child] = []
        self._watched: set[Child] = set()
        self._watchers: dict[Child, asyncio.Task[None]] = {}
        self._tasks_alongside: set[asyncio.Task[None]] = set()

    def child(
        self,
        name: str,
        command: Sequence[str],
        variables: Mapping[str, str],
        *,
        stage: Stage,
        inherited: Mapping[str, str] = os.environ,
        is_watched: bool = False,
        is_forked: bool = False,
        **more: Any,
    ) -> Child:
        """Add a child, which does not run yet.

        One with `is_watched` sends heartbeats, and is killed when they stop. One with
        `is_forked` is a module that starts from what the fork server has loaded.
        """
        ours = {NAME: name, RUN_ID: self._own_processes.run_id}
        others = {name: it for name, it in inherited.items() if name not in _OF_SYSTEMD}
        signs = self._watchdog.variables if is_watched else {}
        child = Child(
            name,
            command,
            environment={**others, **variables, **signs, **ours},
            log=self._home.logs / f"{name.replace('/', '-')}.log",
            folder=environment.PROJECT,
            stage=stage,
            forks=self.forks if is_forked else None,
            **{"yields": self.beside_engine, **more},
        )
        self._children.append(child)
        if is_watched:
            self._watched.add(child)
        return child

    def begin_forking(self, variables: Mapping[str, str]) -> None:
        """Start the fork server, which loads Forebay with the platform's variables."""
        own = {**variables, **forking.VARIABLES}
        server = self.child("forks", forking.COMMAND, own, stage=Stage.SERVER)
        self.forks.begin(lambda link: self._spawn(server, input=link))
        self.run_alongside(self._keep_forking(server))

    async def _keep_forking(self, server: Child) -> None:
        """Start the fork server again when it ends, unless it ends before it has loaded."""
        while await self.forks.loaded():
            await server.ended()
            self.forks.end()
            say(f"{server.name} {server.how_it_ended()}, processes start by themselves meanwhile")
            await asyncio.sleep(LONGEST_PAUSE)
            self.forks.begin(lambda link: self._spawn(server, input=link))

    async def run(self, child: Child, *, input: str = "", output: int | None = None) -> None:
        """Run a child to its end, with `input` as its standard input.

        Raises RunProblem if it fails.
        """
        reader, writer = os.pipe()
        try:
            os.write(writer, input.encode())
            os.close(writer)
            self._spawn(child, input=reader, output=output)
        finally:
            os.close(reader)
        if await child.ended() != 0:
            raise failure(child)

    async def start(
        self, child: Child, what_is_missing: WhatIsMissing, life: Life = Child.ended
    ) -> None:
        """Start a child and wait until it is ready; from then on it is restarted when it ends.

        Raises RunProblem if it ends before.
        """
        self._spawn(child)
        ended = asyncio.create_task(child.ended())
        reported_at = time.monotonic()
        try:
            while not ended.done() and (missing := await what_is_missing()):
                await asyncio.wait([ended], timeout=0.05)
                if time.monotonic() - reported_at > 10:
                    reported_at = time.monotonic()
                    say(f"  waiting for {child.name}: {missing} ({seconds()})")
        finally:
            ended.cancel()
        if not child.running:
            raise failure(child)
        self._watchers[child] = asyncio.create_task(self._watch(child, life))

    def keep(self, child: Child, life: Life = Child.ended) -> None:
        """Start a child without waiting, and restart it when it ends. Raises OSError."""
        self._spawn(child)
        self._watchers[child] = asyncio.create_task(self._watch(child, life))

    def run_alongside(self, work: Coroutine[Any, Any, None]) -> None:
        """Run `work` in the background until it ends or everything stops."""
        task = asyncio.create_task(work)
        self._tasks_alongside.add(task)
        task.add_done_callback(self._tasks_alongside.discard)

    def watch(self) -> None:
        """Begin to kill children that send no heartbeat; they are restarted."""
        # Those that are being stopped may take their time.
        self.run_alongside(self._watchdog.watch(lambda: self._watched & self._watchers.keys()))

    def bound_logs(self) -> None:
        """Keep the log of each running child from growing for ever. Raises OSError."""
        for child in self._children:
            child.bound_log()

    async def retire(self, child: Child, patience: float) -> None:
        """Stop one child for good, while the others go on."""
        if watcher := self._watchers.pop(child, None):
            watcher.cancel()
        await child.stop(patience)
        self._children.remove(child)
        self._watched.discard(child)

    def _spawn(self, child: Child, **streams: Any) -> None:
        self._own_processes.add(child.name, child.spawn(**streams))

    async def _watch(self, child: Child, life: Life) -> None:
        pause = FIRST_PAUSE
        while True:
            began = time.monotonic()
            await life(child)
            pause = FIRST_PAUSE if time.monotonic() - began > STEADY else pause
            again = f"starts again in {pause:g} s; log: {child.log}"
            say(f"{child.name} {child.how_it_ended()}, {again}")
            for line in child.last_lines(5):
                say(f"  {child.name} | {line}")
            await asyncio.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE)
            try:
                self._spawn(child)
            except OSError as error:  # no memory, no process to be had: the next try may work
                say(f"{child.name} cannot start: {error.strerror}")

    async def stop(self) -> None:
        for task in (*self._tasks_alongside, *self._watchers.values()):
            task.cancel()
        drain = environment.number("FOREBAY_DRAIN_S", 0) + 0.5
        for stage in Stage:
            patience = max(PATIENCE[stage], 0 if stage is Stage.SERVER else drain)
            running = [child for child in self._children if child.running and child.stage == stage]
            await asyncio.gather(*(child.stop(patience) for child in running))
        self.forks.end()
        self._own_processes.end_rest()

    def kill(self) -> None:
        for child in self._children:
            child.send(signal.SIGKILL)


def failure(child: Child) -> RunProblem:
    lines = child.last_lines(20)
    if child.stage is Stage.SERVER:  # a server tidies up, and logs so, after its error
        lines = [line for line in lines if _ERROR.search(line)] or lines
    reason = lines[-1] if lines else "it said nothing"
    if (free := shutil.disk_usage(child.log.parent).free) < _FULL:
        reason += f"; {child.log.parent} is on a full disk, {free // 1024} KiB are free: make room"
    return RunProblem(f"{child.name} {child.how_it_ended()}: {reason} (log: {child.log})")
