"""The program of a helper process (section_process.py). It starts fast, without Django."""

import os
import signal
import sys
from dataclasses import dataclass
from multiprocessing.connection import Connection
from threading import Thread
from typing import Any

import psycopg

from audit.verification.sections import Terms, try_section


@dataclass(frozen=True, slots=True)
class Task:
    """Verification terms with the parent's database and its exported snapshot
    (pg_export_snapshot).
    """

    dsn: str
    snapshot: str
    terms: Terms


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
            _see_as(task.snapshot, connection)
            while True:
                channel.send(try_section(channel.recv(), task.terms, connection))
    except psycopg.Error:
        while channel.recv():
            channel.send(None)


def _see_as(snapshot: str, connection: psycopg.Connection[Any]) -> None:
    connection.execute("set transaction isolation level repeatable read read only")
    connection.execute(f"set transaction snapshot '{snapshot}'".encode())


if __name__ == "__main__":
    main(int(sys.argv[1]))
