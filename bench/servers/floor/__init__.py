"""A bare program with a platform's promises: what they cost by themselves.

It takes chats over HTTP, and keeps what Forebay promises of one: a key and a limit, the encrypted
prompt durable before an engine sees it, a queue that survives a kill, a worker of its own process,
the encrypted answer, its usage and the budget durable before the answer ends. It has one queue, one
table of each kind and no error handling: nothing that keeps these promises does less.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from bench.servers.child import Child
from bench.servers.processes import use_by_role
from bench.servers.targets import MODEL, MockEngine, Target
from config.supervisor.ports import find_free

NAME = "bare program"
KEY = "sk-floor"
TENANT = 1
START_SECONDS = 120
SIGNS = {
    "web": "floor.web",
    "worker": "floor.worker",
    "postgres": "postgres",
    "valkey": "valkey-server",
}


@contextmanager
def running(mock: MockEngine, folder: Path) -> Iterator[Target]:
    """It runs while the context lasts."""
    port = find_free()
    command = [sys.executable, "-m", "bench.servers.floor", str(port), mock.root]
    child = Child(command, folder / "floor.log")
    try:
        child.wait_until_ready(f"http://127.0.0.1:{port}/health", START_SECONDS)
        url = f"http://127.0.0.1:{port}/v1"
        yield Target(NAME, url, KEY, MODEL, partial(use_by_role, child.pid, _role))
    finally:
        child.stop(30)


def _role(command: str) -> str | None:
    return next((name for name, sign in SIGNS.items() if sign in command), None)
