"""One process of the platform: its start, its end, its log."""

import asyncio
import contextlib
import ctypes
import enum
import os
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from config.fork_server.request import ForkRequest
from config.logs.formatting import message
from config.supervisor.engine_log import EngineLog
from config.supervisor.forking import ForkedProcess, ForkServer
from infrastructure.descriptor_wait import readable

_libc = ctypes.CDLL(None)
_PR_SET_PDEATHSIG = 1
_LOG_BYTES = 20_000_000
_WRITTEN_S = 1.0  # patience for the last lines of a process that has ended


class Stage(enum.IntEnum):
    """The order in which children are stopped; the number is not the time that they get."""

    DOOR = 1
    WORK = 2
    SERVER = 3


@dataclass(eq=False)
class Child:
    name: str
    command: Sequence[str]
    environment: Mapping[str, str]
    log: Path
    folder: Path
    stage: Stage
    stop_signal: signal.Signals = signal.SIGTERM
    # The kernel sends it when the supervisor dies without stopping its children.
    orphan_signal: signal.Signals = signal.SIGKILL
    # Runs as SCHED_BATCH: when it wakes up, it takes no processor from an embedded engine.
    yields: bool = False
    # Its output may quote requests, which its log must not (engine_log.py).
    may_quote: bool = False
    # Forks it, where it is a module of ours; without one it starts by itself.
    forks: ForkServer | None = None
    _process: subprocess.Popen[bytes] | ForkedProcess | None = field(
        default=None, init=False, repr=False
    )
    _log_start: int = field(default=0, init=False, repr=False)
    _filter: EngineLog = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self._filter = EngineLog(self.log)

    def spawn(self, *, input: int = subprocess.DEVNULL, output: int | None = None) -> int:
        """Start the process, and return its id.

        It has a session of its own, so that Ctrl-C in the terminal reaches only the supervisor.
        """
        with self._open_log() as file, self._output(file) as log:
            answers = log if output is None else output
            self._process = self._forked(input, answers, log) or subprocess.Popen(
                self.command,
                env=self.environment,
                cwd=self.folder,
                stdin=input,
                stdout=answers,
                stderr=log,
                start_new_session=True,
                preexec_fn=before_exec(os.getpid(), self.orphan_signal, yields=self.yields),
            )
        return self._process.pid

    def _forked(self, input: int, output: int, log: int) -> ForkedProcess | None:
        if not self.forks:
            return None
        _, _, module, *arguments = self.command  # python -m
        request = ForkRequest(
            module,
            arguments,
            self.environment,
            folder=str(self.folder),
            supervisor=os.getpid(),
            orphan_signal=self.orphan_signal,
            yields=self.yields,
        )
        with open(os.devnull, "rb") as nothing:
            stream = nothing.fileno() if input == subprocess.DEVNULL else input
            return self.forks.fork(request, [stream, output, log])

    @contextlib.contextmanager
    def _output(self, log: BinaryIO) -> Iterator[int]:
        if not self.may_quote:
            yield log.fileno()
            return
        write = self._filter.begin()
        try:
            yield write
        finally:
            os.close(write)

    def has_requests(self) -> None:
        """Note that the server is ready: from now on its output may quote requests."""
        self._filter.server_is_ready()

    def bound_log(self) -> None:
        """Move a large log of a running process to the old log; the process writes on.

        Without room for the old log, the log stays as it is.
        """
        if not (self.running and self._log_bytes > _LOG_BYTES):
            return
        try:
            shutil.copyfile(self.log, self._old_log)
        except OSError:
            self._old_log.unlink(missing_ok=True)
            return
        os.truncate(self.log, 0)  # it appends: the next line is the first
        self._log_start = 0

    @property
    def _old_log(self) -> Path:
        return self.log.with_suffix(".old.log")

    def _open_log(self) -> BinaryIO:
        if self.log.exists() and self.log.stat().st_size > _LOG_BYTES:
            self.log.replace(self._old_log)
        log = self.log.open("ab")
        self._log_start = log.tell()
        return log

    async def ended(self) -> int:
        """Wait for the end, kill what is left of its process group, and return the exit code."""
        process = self._process
        assert process
        if process.returncode is None:
            descriptor = os.pidfd_open(process.pid)
            try:
                await readable(descriptor)
            finally:
                os.close(descriptor)
            self.send(signal.SIGKILL)  # not reaped yet: the group is still this one
            process.wait()
            self._filter.wait(_WRITTEN_S)
        return process.wait()

    async def stop(self, patience: float) -> None:
        self.send(self.stop_signal)
        try:
            await asyncio.wait_for(self.ended(), patience)
        except TimeoutError:
            self.send(signal.SIGKILL)
            await self.ended()

    @property
    def pid(self) -> int:
        """The process's id, once it has been spawned."""
        assert self._process
        return self._process.pid

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.returncode is None

    def send(self, what: signal.Signals) -> None:
        if self._process and self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, what)

    def how_it_ended(self) -> str:
        code = self._process.returncode if self._process else None
        if code is not None and code < 0:
            return f"was killed by {signal.Signals(-code).name}"
        return f"ended with exit code {code}"

    def last_lines(self, count: int) -> list[str]:
        """Returns the last lines that it logged in its present life; none of a removed log."""
        try:
            with self.log.open("rb") as log:
                log.seek(max(self._log_start, self._log_bytes - 8192))
                lines = log.read().decode(errors="replace").splitlines()
        except FileNotFoundError:  # somebody made room
            return []
        return [message(line)[:300] for line in lines if line.strip()][-count:]

    @property
    def _log_bytes(self) -> int:
        return self.log.stat().st_size if self.log.exists() else 0


def before_exec(
    parent: int, orphan_signal: signal.Signals, *, yields: bool = False
) -> Callable[[], None]:
    """Returns what a child does before it executes its program: it ends with its parent."""

    def between_fork_and_exec() -> None:
        _libc.prctl(_PR_SET_PDEATHSIG, orphan_signal)
        if os.getppid() != parent:  # it died before the line above
            os._exit(1)
        if yields:
            os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))

    return between_fork_and_exec
