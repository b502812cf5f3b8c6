"""Stops processes for a while. A signal alone is not enough: threads run on until they see it."""

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

STOPPED_WITHIN_S = 20.0


@contextmanager
def frozen(*pids: int) -> Iterator[None]:
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        deadline = time.monotonic() + STOPPED_WITHIN_S
        while not all(map(_is_stopped, pids)):
            assert time.monotonic() < deadline
            time.sleep(0.01)
        yield
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)


def _is_stopped(pid: int) -> bool:
    return {_state(task) for task in Path(f"/proc/{pid}/task").iterdir()} <= {"T", ""}


def _state(task: Path) -> str:
    """Returns the state of a thread, "" if it has ended."""
    with suppress(FileNotFoundError, ProcessLookupError):
        return (task / "stat").read_text().rpartition(")")[2].split()[0]
    return ""
