"""The Celery queues of a worker process that serves several engines.

The supervisor assigns them, by a file, as engines come and go.
"""

import json
import os
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

FILE = "FOREBAY_WORKER_QUEUES"  # the supervisor sets it: a JSON list of queues
LOOK_S = 0.2
Act = Callable[[Collection[str]], None]


class AssignedQueues:
    """Takes and leaves queues with Celery's consumer, in its thread.

    `attend` and `no_longer_attend` get those that it takes and leaves.
    """

    def __init__(self, consumer: Any, file: Path, attend: Act, no_longer_attend: Act) -> None:
        self._consumer, self._file = consumer, file
        self._attend, self._no_longer_attend = attend, no_longer_attend
        self._taken: frozenset[str] = frozenset()
        self._version: tuple[int, int] | None = None

    def look(self) -> None:
        """Follow the file, if it is another one than at the last look."""
        if (version := _version(self._file)) == self._version:
            return
        queues = frozenset(json.loads(self._file.read_text())) if version else frozenset()
        self._take(queues - self._taken)
        self._leave(self._taken - queues)
        self._taken, self._version = queues, version

    def _take(self, queues: Collection[str]) -> None:
        for queue in queues:
            self._consumer.add_task_queue(queue)
        self._attend(queues)

    def _leave(self, queues: Collection[str]) -> None:
        self._no_longer_attend(queues)
        for queue in queues:
            self._consumer.cancel_task_queue(queue)


def follow(consumer: Any, attend: Act, no_longer_attend: Act) -> None:
    """Follow the file in the consumer's thread, if the supervisor has named one."""
    if file := os.environ.get(FILE):
        queues = AssignedQueues(consumer, Path(file), attend, no_longer_attend)
        queues.look()
        consumer.timer.call_repeatedly(LOOK_S, queues.look)


def _version(file: Path) -> tuple[int, int] | None:
    """Returns what tells a file from the one that replaces it; None where there is none."""
    try:
        stat = file.stat()
    except FileNotFoundError:
        return None
    return stat.st_ino, stat.st_mtime_ns
