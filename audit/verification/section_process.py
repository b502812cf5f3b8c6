"""A process beside the one that verifies: it looks at sections of the trail as that one sees it."""

import os
import subprocess
import sys
from multiprocessing import Pipe
from typing import Any

import psycopg
from psycopg.conninfo import make_conninfo

from audit.verification import section_process_main
from audit.verification.section_process_main import Task as Task
from audit.verification.sections import Asked, Found, Section

PATIENCE_S = 5.0  # for its end


def task(asked: Asked, connection: psycopg.Connection[Any]) -> Task:
    """`connection` stays in its transaction for as long as there are helpers."""
    info = connection.info
    dsn = make_conninfo(**info.get_parameters(), password=info.password)
    (snapshot,) = connection.execute("select pg_export_snapshot()").fetchone() or ("",)
    return Task(dsn, snapshot, asked)


class Helper:
    def __init__(self, task: Task) -> None:
        self._task: Task | None = task
        self._channel, theirs = Pipe()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", section_process_main.__name__, str(theirs.fileno())],
                stdin=subprocess.PIPE,  # where this closes, it ends: with us, too
                pass_fds=[theirs.fileno()],
                env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            )

    def found_in(self, section: Section) -> Found | None:
        """None: it cannot be read. Raises ChildProcessError where the process has ended."""
        try:
            if self._task:
                self._channel.send(self._task)
                self._task = None
            self._channel.send(section)
            found: Found | None = self._channel.recv()
        except (EOFError, OSError):
            code = self._process.wait()
            raise ChildProcessError(f"a process of the verification ended with {code}") from None
        return found

    def end(self) -> None:
        self._channel.close()
        with self._process:
            try:
                self._process.wait(PATIENCE_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
