"""A helper process that verifies sections of the trail on the snapshot of its parent.

It starts fast, without Django.
"""

import os
import signal
import subprocess
import sys
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from threading import Thread
from typing import Any

import psycopg
from psycopg.conninfo import make_conninfo

from audit.verification.chain import Terms
from audit.verification.report import SectionResult
from audit.verification.rows import Trail
from audit.verification.sections import Section, Task, try_section

PATIENCE_S = 5.0  # for the process's end


def task(terms: Terms, connection: Trail) -> Task:
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
                [sys.executable, "-m", __name__, str(remote.fileno())],
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


# The process -------------------------------------------------------------------------------------
def main(descriptor: int) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent ends this process
    Thread(target=_end_with_parent, daemon=True).start()
    channel = Connection(descriptor)
    try:
        _work(channel.recv(), channel)
    except (EOFError, ConnectionError):
        return  # the parent is done


def _end_with_parent() -> None:
    os.read(sys.stdin.fileno(), 1)
    os._exit(1)


def _work(task: Task, channel: Any) -> None:
    try:
        with psycopg.connect(task.dsn) as connection:
            connection.execute("set transaction isolation level repeatable read read only")
            connection.execute(f"set transaction snapshot '{task.snapshot}'".encode())
            while True:
                channel.send(try_section(channel.recv(), task.terms, connection))
    except psycopg.Error:
        while channel.recv():
            channel.send(None)


if __name__ == "__main__":
    main(int(sys.argv[1]))
