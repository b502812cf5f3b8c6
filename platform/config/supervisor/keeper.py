"""Keeps the children: starts them, brings the dead ones back, stops all of them in order."""

import asyncio
import os
import re
import shutil
import signal
import time
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from typing import Any

from config import environment
from config.logs.naming import NAME
from config.supervisor.child import Child, Stage
from config.supervisor.home import Home
from config.supervisor.own_processes import RUN_ID, Kin
from config.supervisor.screen import Problem, say, seconds
from config.supervisor.watchdog import Watchdog

FIRST_PAUSE, LONGEST_PAUSE = 0.5, 4.0  # and a start takes some: back within ten seconds
STEADY = 20.0  # seconds of life after which a death counts as the first again
# Together under the ten seconds that Ctrl-C may take, unless FOREBAY_DRAIN_S asks for more.
PATIENCE = {Stage.DOOR: 3.5, Stage.WORK: 3.0, Stage.SERVER: 2.5}
_FULL = 16 * 1024 * 1024  # bytes that are free: what fails then fails for want of room
_ERROR = re.compile(r"\b(?:FATAL|PANIC|ERROR|error): ")
# Nothing, once it is ready.
WhatIsMissing = Callable[[], Awaitable[str | None]]
Life = Callable[[Child], Awaitable[object]]  # returns when it has ended


class Keeper:
    def __init__(self, home: Home, kin: Kin) -> None:
        self._home, self._kin = home, kin
        self._watchdog = Watchdog(kin.run_id)
        self.beside_engine = False  # of ours, on the same processors
        self._children: list[Child] = []
        self._watched: list[Child] = []
        self._watchers: dict[Child, asyncio.Task[None]] = {}
        self._alongside: set[asyncio.Task[None]] = set()

    def child(
        self,
        name: str,
        command: Sequence[str],
        variables: Mapping[str, str],
        *,
        stage: Stage,
        inherited: Mapping[str, str] = os.environ,
        is_watched: bool = False,
        **more: Any,
    ) -> Child:
        """`is_watched`: it gives signs of life, and is killed where they fail to come."""
        ours = {NAME: name, RUN_ID: self._kin.run_id}
        signs = self._watchdog.variables if is_watched else {}
        child = Child(
            name,
            command,
            environment={**_without_ours(inherited), **variables, **signs, **ours},
            log=self._home.logs / f"{name.replace('/', '-')}.log",
            folder=environment.PROJECT,
            stage=stage,
            **{"yields": self.beside_engine, **more},
        )
        self._children.append(child)
        if is_watched:
            self._watched.append(child)
        return child

    async def run(self, child: Child, *, given: str = "", output: int | None = None) -> None:
        """One that has an end: waits for it, and says why when it fails."""
        read, write = os.pipe()
        try:
            os.write(write, given.encode())
            os.close(write)
            self._spawn(child, input=read, output=output)
        finally:
            os.close(read)
        if await child.ended() != 0:
            raise failure(child)

    async def start(
        self, child: Child, what_is_missing: WhatIsMissing, life: Life = Child.ended
    ) -> None:
        """One that stays: returns when it is ready; from then on it is brought back."""
        self._spawn(child)
        ended = asyncio.create_task(child.ended())
        try:
            await _ready_or_ended(child.name, what_is_missing, ended)
        finally:
            ended.cancel()
        if not child.running:
            raise failure(child)
        self._watchers[child] = asyncio.create_task(self._watch(child, life))

    def keep(self, child: Child, life: Life) -> None:
        """One that may take long to be ready, and for which nobody waits. Raises OSError."""
        self._spawn(child)
        self._watchers[child] = asyncio.create_task(self._watch(child, life))

    def alongside(self, work: Coroutine[Any, Any, None]) -> None:
        """Runs until it ends, or everything stops."""
        task = asyncio.create_task(work)
        self._alongside.add(task)
        task.add_done_callback(self._alongside.discard)

    def watch(self) -> None:
        """Kills those of ours that stand still, from now on: they are brought back."""
        self.alongside(self._watchdog.watch(self._started))

    def _started(self) -> list[Child]:
        """Not those that are about to end: they may take their time."""
        return [child for child in self._watched if child in self._watchers]

    def bound_logs(self) -> None:
        """No log of one that stays grows for ever. Raises OSError."""
        for child in self._children:
            child.bound_log()

    async def retire(self, child: Child, patience: float) -> None:
        """Stops one for good, while the others go on."""
        if watcher := self._watchers.pop(child, None):
            watcher.cancel()
        await child.stop(patience)
        self._children.remove(child)
        if child in self._watched:
            self._watched.remove(child)

    def _spawn(self, child: Child, **streams: Any) -> None:
        self._kin.add(child.name, child.spawn(**streams))

    async def _watch(self, child: Child, life: Life) -> None:
        pause = FIRST_PAUSE
        while True:
            began = time.monotonic()
            await life(child)
            pause = FIRST_PAUSE if time.monotonic() - began > STEADY else pause
            _report(child, pause)
            await asyncio.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE)
            try:
                self._spawn(child)
            except OSError as error:  # no memory, no process to be had: the next try may work
                say(f"{child.name} cannot start: {error.strerror}")

    async def stop(self) -> None:
        for task in (*self._alongside, *self._watchers.values()):
            task.cancel()
        for stage in Stage:
            going = [child for child in self._children if child.running and child.stage == stage]
            await asyncio.gather(*(child.stop(_patience(stage)) for child in going))
        self._kin.end_rest()

    def kill(self) -> None:
        for child in self._children:
            child.send(signal.SIGKILL)


def _without_ours(inherited: Mapping[str, str]) -> dict[str, str]:
    """What systemd tells this process is meant for no child of it."""
    meant = ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID")
    return {name: value for name, value in inherited.items() if name not in meant}


def _patience(stage: Stage) -> float:
    drain = environment.number("FOREBAY_DRAIN_S", 0) if stage is not Stage.SERVER else 0
    return max(PATIENCE[stage], drain + 0.5)


async def _ready_or_ended(
    name: str, what_is_missing: WhatIsMissing, ended: asyncio.Task[int]
) -> None:
    said = time.monotonic()
    while not ended.done() and (missing := await what_is_missing()):
        await asyncio.wait([ended], timeout=0.05)
        if time.monotonic() - said > 10:
            said = time.monotonic()
            say(f"  waiting for {name}: {missing} ({seconds()})")


def failure(child: Child) -> Problem:
    reason = _reason(child) or "it said nothing"
    if (free := shutil.disk_usage(child.log.parent).free) < _FULL:
        reason += f"; {child.log.parent} is on a full disk, {free // 1024} KiB are free: make room"
    return Problem(f"{child.name} {child.how_it_ended()}: {reason} (log: {child.log})")


def _reason(child: Child) -> str:
    """The line that says why it ended: a server tidies up, and tells so, after its error."""
    lines = child.last_lines(20)
    if child.stage is Stage.SERVER:
        lines = [line for line in lines if _ERROR.search(line)] or lines
    return " ".join(lines[-1:])


def _report(child: Child, pause: float) -> None:
    say(f"{child.name} {child.how_it_ended()}, starts again in {pause:g} s; log: {child.log}")
    for line in child.last_lines(5):
        say(f"  {child.name} | {line}")
