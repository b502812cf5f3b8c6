"""The real supervisor as a process of its own, and what can be seen of it from outside."""

import json
import os
import queue
import re
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO

import psycopg

from bench.servers.processes import Process, all_processes
from config.environment import PROJECT
from config.supervisor.ports import find_free

START_S = 60
_OWNERS = """
    select array_agg(distinct relowner::regrole::text) from pg_class
    where relnamespace = 'public'::regnamespace and relkind in ('r', 'p', 'S')"""
# Nobody answers there: these platforms run without llama.cpp, and their /readyz says 503.
HOSTED = json.dumps({"hosted": {"kind": "openai", "url": "http://127.0.0.1:9/v1"}})


class Running:
    """Started at once; `lines` is what it printed so far."""

    def __init__(self, home: Path, *options: str, **variables: str) -> None:
        self.home = home
        self.port = (
            int(given) if (given := variables.get("FOREBAY_PORT", "")).isdecimal() else find_free()
        )
        told = {"FOREBAY_HOME": str(home), "FOREBAY_PORT": str(self.port)}
        told |= {"FOREBAY_GRPC_PORT": "0", **variables}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "config.supervisor", *options],
            env={**bare_environment(), **told},
            cwd=PROJECT,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert self.process.stdout
        self.lines: list[str] = []
        self._queue: queue.Queue[str | None] = queue.Queue()
        self._reader = threading.Thread(target=self._read, args=[self.process.stdout])
        self._reader.start()

    def _read(self, output: IO[str]) -> None:
        for line in output:
            self._queue.put(line.rstrip("\n"))
        self._queue.put(None)

    def line(self, pattern: str, patience: float = START_S) -> re.Match[str]:
        """Waits until it prints a line like this."""
        deadline = time.monotonic() + patience
        while (line := self._queue.get(timeout=max(0.01, deadline - time.monotonic()))) is not None:
            self.lines.append(line)
            if found := re.search(pattern, line):
                return found
        raise AssertionError(f"it ended without {pattern!r}: {self.lines}")

    def ready(self) -> "Running":
        self.line("Ctrl-C stops everything")
        return self

    @property
    def told(self) -> dict[str, str]:
        """Returns the variables that it keeps for manage.py."""
        found: dict[str, str] = json.loads((self.home / "run" / "env.json").read_text())
        return found

    def children(self) -> list[Process]:
        return [each for each in all_processes().values() if each.parent == self.process.pid]

    def commands(self) -> list[str]:
        return [child.command for child in self.children()]

    def child(self, sign: str) -> Process:
        """The child whose command line holds this."""
        return next(child for child in self.children() if sign in child.command)

    def end(self, number: signal.Signals = signal.SIGTERM) -> float:
        """Sends a signal and waits. Returns the seconds that took."""
        began = time.monotonic()
        self.process.send_signal(number)
        self.process.wait(20)
        took = time.monotonic() - began
        self.close()
        return took

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.terminate()
            self.process.wait(20)
        self._reader.join(10)
        while not self._queue.empty():
            self.lines += [line for line in [self._queue.get()] if line is not None]
        assert self.process.stdout
        self.process.stdout.close()


def refused(home: Path, **variables: str) -> str:
    """Returns the last line of a start that must fail, and must leave nothing running."""
    running = Running(home, **variables)
    code = running.process.wait(START_S)
    running.close()
    assert code == 1, running.lines
    assert not any("Traceback" in line for line in running.lines), running.lines
    assert left_of(home) == []
    return running.lines[-1]


def left_of(home: Path) -> list[str]:
    """Command lines of live processes that belong to this home; a zombie has none."""
    found = []
    for process in all_processes().values():
        mark = f"FOREBAY_HOME={home}" in environment_of(process.pid)
        if process.command and (mark or f"{home}/" in process.command):
            found.append(process.command)
    return found


def environment_of(pid: int) -> list[str]:
    try:
        return Path(f"/proc/{pid}/environ").read_text(errors="replace").split("\0")
    except OSError:
        return []


def owners(platform: Running) -> list[str]:
    """Returns the owners of the tables of its database."""
    with psycopg.connect(platform.told["DATABASE_URL"]) as connection:
        found: list[str] = connection.execute(_OWNERS).fetchone()[0]  # type: ignore[index]
    return found


def get(port: int, path: str) -> int:
    """The status of the answer, 0 for none."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as answer:
        with answer:
            return answer.code
    except OSError:
        return 0


def eventually(true: Callable[[], bool], patience: float) -> bool:
    deadline = time.monotonic() + patience
    while not true():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def bare_environment() -> Mapping[str, str]:
    """Returns the environment without what the tests were told, or have imported and so set."""
    ours = ("FOREBAY_", "DATABASE_URL", "REDIS_URL", "GRPC_")
    return {name: value for name, value in os.environ.items() if not name.startswith(ours)}
