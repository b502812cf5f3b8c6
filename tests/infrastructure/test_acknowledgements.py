"""A Celery worker goes on after Redis was away while it acknowledged, against a real Valkey."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import redis
from celery import Celery
from kombu.transport import redis as redis_transport

import config.celery  # noqa: F401  # as a worker's process loads it
from bench.servers.child import Child, wait_until_listening
from config.supervisor.embedded.valkey import binary
from config.supervisor.ports import find_free
from infrastructure.redis.celery_acknowledgements import FreeingQoS
from tests.e2e.ask import eventually

pytestmark = pytest.mark.unit
ALONE = ("--without-gossip", "--without-mingle", "--without-heartbeat")
WORKER = ("worker", "-P", "threads", "-c", "1", "-l", "warning", *ALONE)


class Valkey:
    def __init__(self, folder: Path) -> None:
        self._folder, self.port = folder, find_free()
        self.client = redis.Redis(port=self.port)
        self.start()

    def start(self) -> None:
        settings = ["--port", str(self.port), "--dir", str(self._folder), "--save", ""]
        self._child = Child([str(binary()), *settings], self._folder / "valkey.log")
        wait_until_listening(self.port, 10)

    def kill(self) -> None:
        self._child.process.kill()
        self._child.process.wait(10)


@contextmanager
def celery_worker(folder: Path, url: str) -> Iterator[Child]:
    command = [sys.executable, "-m", "tests.infrastructure.waiting_tasks", url, *WORKER]
    worker = Child(command, folder / "worker.log")
    try:
        yield worker
    finally:
        worker.stop()


def test_a_worker_hears_again_after_redis_was_away_while_it_acknowledged(tmp_path: Path) -> None:
    """The message that waits in the worker takes the only place that it has."""
    valkey = Valkey(tmp_path)
    goes_on, second, third = (tmp_path / name for name in ("goes_on", "second", "third"))
    url = f"redis://127.0.0.1:{valkey.port}/0"
    app = Celery(broker=url, set_as_current=False)
    try:
        with celery_worker(tmp_path, url) as worker:
            app.send_task("wait_for", [str(goes_on)])
            app.send_task("write", [str(second)])
            eventually(lambda: valkey.client.hlen("unacked") == 1, 30)
            eventually(lambda: not valkey.client.llen("celery"))
            valkey.kill()
            goes_on.touch()
            eventually(second.exists)
            eventually(lambda: "Couldn't ack" in worker.log.read_text())
            valkey.start()
            app.send_task("write", [str(third)])
            eventually(third.exists, 30)
    finally:
        valkey.kill()


def test_the_processes_of_the_platform_free_them() -> None:
    assert redis_transport.Channel.QoS is FreeingQoS
