"""What such a process does (section_process.py). It needs no Django: it is there at once."""

import os
import signal
import sys
from dataclasses import dataclass
from multiprocessing.connection import Connection
from threading import Thread
from typing import Any

import psycopg

from audit.verification.sections import Asked, tried


@dataclass(frozen=True, slots=True)
class Task:
    """`snapshot`: of the transaction that has asked (pg_export_snapshot)."""

    dsn: str
    snapshot: str
    asked: Asked


def main(descriptor: int) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # who has asked ends it
    Thread(target=_end_with_parent, daemon=True).start()
    channel = Connection(descriptor)
    try:
        _work(channel.recv(), channel)
    except (EOFError, ConnectionError):
        return  # nobody asks any more


def _end_with_parent() -> None:
    os.read(sys.stdin.fileno(), 1)
    os._exit(1)


def _work(task: Task, channel: Any) -> None:
    try:
        with psycopg.connect(task.dsn) as connection:
            _see_as(task.snapshot, connection)
            while True:
                channel.send(tried(channel.recv(), task.asked, connection))
    except psycopg.Error:
        while channel.recv():
            channel.send(None)


def _see_as(snapshot: str, connection: psycopg.Connection[Any]) -> None:
    connection.execute("set transaction isolation level repeatable read read only")
    connection.execute(f"set transaction snapshot '{snapshot}'".encode())


if __name__ == "__main__":
    main(int(sys.argv[1]))
