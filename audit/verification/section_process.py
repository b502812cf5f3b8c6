"""A helper process that verifies sections of the trail on the snapshot of its parent."""

import os
import subprocess
import sys
from multiprocessing import Pipe
from typing import Any

import psycopg
from psycopg.conninfo import make_conninfo

from audit.verification import section_process_main
from audit.verification.section_process_main import Task as Task
from audit.verification.sections import Section, SectionResult, Terms

PATIENCE_S = 5.0  # for the process's end


def task(terms: Terms, connection: psycopg.Connection[Any]) -> Task:
    """Returns a helper's task. `connection` must stay in its transaction while helpers run."""
    info = connection.info
    dsn = make_conninfo(**info.get_parameters(), password=info.password)
    (snapshot,) = connection.execute("select pg_export_snapshot()").fetchone() or ("",)
    return Task(dsn, snapshot, terms)


class Helper:
    def __init__(self, task: Task) -> None:
        self._task: Task | None = task
        self._channel, remote = Pipe()
        with remote:
            self._process = subprocess.Popen(
                [sys.executable, "-m", section_process_main.__name__, str(remote.fileno())],
                stdin=subprocess.PIPE,  # the process ends when this closes, also if we die
                pass_fds=[remote.fileno()],
                env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            )

    def verify(self, section: Section) -> SectionResult | None:
        """Returns None for an unreadable section. Raises ChildProcessError if the process ended."""
        try:
            if self._task:
                self._channel.send(self._task)
                self._task = None
            self._channel.send(section)
            result: SectionResult | None = self._channel.recv()
        except (EOFError, OSError):
            code = self._process.wait()
            raise ChildProcessError(f"a process of the verification ended with {code}") from None
        return result

    def end(self) -> None:
        self._channel.close()
        with self._process:
            try:
                self._process.wait(PATIENCE_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
