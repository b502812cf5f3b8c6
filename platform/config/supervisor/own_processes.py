"""The record of a run's processes, and the end of those that an earlier supervisor left behind.

A pid alone proves nothing, as the kernel hands it out again. Two things do: pid and start time as
we recorded them, or our run's random id in the environment, which every descendant inherits.
"""

import contextlib
import json
import os
import secrets
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from config.supervisor.home import Home
from config.supervisor.terminal import RunProblem

RUN_ID = "FOREBAY_RUN_ID"


class ProcessLife(NamedTuple):
    pid: int
    started: int  # clock ticks since boot


class OwnProcesses:
    def __init__(self, home: Home) -> None:
        self._home = home
        self._file = home.run / "processes.json"
        self.run_id = secrets.token_hex(16)
        self._lives: dict[str, ProcessLife] = {}

    def add(self, name: str, pid: int) -> None:
        started = _start_time(pid)
        if started is not None:
            self._lives[name] = ProcessLife(pid, started)
            record = {"boot": _boot(), "run_id": self.run_id, "lives": list(self._lives.values())}
            self._home.write_private(self._file, json.dumps(record))

    def end_orphans(self, patience: float = 3) -> None:
        """End the processes of the last run on this home.

        Its supervisor is gone: we hold the lock.
        """
        try:
            record = json.loads(self._file.read_text())
        except (OSError, ValueError):
            return
        if record["boot"] == _boot():
            _end(record["run_id"], {ProcessLife(*life) for life in record["lives"]}, patience)
        self._file.unlink()

    def end_rest(self) -> None:
        """End the processes of this run that are still there after an orderly stop."""
        _end(self.run_id, set(self._lives.values()), patience=0)
        self._file.unlink(missing_ok=True)


def _end(run_id: str, lives: set[ProcessLife], patience: float) -> None:
    """Wait up to `patience` seconds for the processes of a run, then kill them. Raises RunProblem.

    Most die with their supervisor by themselves: PostgreSQL in order, the rest at once.
    """
    deadline = time.monotonic() + patience
    while (pids := list(_pids_of(run_id, lives))) and time.monotonic() < deadline:
        time.sleep(0.05)
    deadline = time.monotonic() + 5
    while pids and time.monotonic() < deadline:
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.05)
        pids = list(_pids_of(run_id, lives))
    if pids:
        raise RunProblem(
            f"processes of an earlier run do not end: kill -9 {' '.join(map(str, pids))}"
        )


def _pids_of(run_id: str, lives: set[ProcessLife]) -> Iterator[int]:
    mark = f"{RUN_ID}={run_id}".encode()
    for pid in (int(entry) for entry in os.listdir("/proc") if entry.isdecimal()):
        started = _start_time(pid)
        if started is None or pid == os.getpid():
            continue
        if ProcessLife(pid, started) in lives or mark in _environment(pid):
            yield pid


def _start_time(pid: int) -> int | None:
    """Returns clock ticks since boot; None for a process that has ended, or a zombie."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(errors="replace")  # any name
    except OSError:
        return None
    state, *fields = stat.rpartition(")")[2].split()
    return None if state in "ZX" else int(fields[18])


def _environment(pid: int) -> list[bytes]:
    try:
        return Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:
        return []


def _boot() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
