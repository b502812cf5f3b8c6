"""A web process, and a worker, are started anew while people ask: no request fails."""

import os
import signal
from functools import partial
from pathlib import Path

import pytest

from tests.e2e.ask import eventually
from tests.e2e.conftest import Mock, Platform
from tests.e2e.rolling import held, people

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.timeout(600),
    pytest.mark.skipif(
        "FOREBAY_TEST_RESTARTS" not in os.environ, reason="takes half a minute: make soak"
    ),
]
RESTARTS = int(os.environ.get("FOREBAY_TEST_RESTARTS", "1"))


@pytest.mark.slow(seconds=30)
def test_no_request_fails_while_web_processes_are_started_anew(
    staged: Platform, mock: Mock, tmp_path: Path
) -> None:
    mock.behave(tokens=16, interval_ms=20)
    with held(staged, tmp_path) as socket:
        process = socket.start()
        try:
            with people(socket.port, staged.new_key()) as asking:
                asking.wait_for_more()
                for _ in range(RESTARTS):
                    after = socket.start()
                    socket.stopped(process)
                    process = after
                    asking.wait_for_more()
        finally:
            process.terminate()
            process.wait(60)
    assert asking.failed == []


def another_worker(platform: Platform, than: int) -> bool:
    return platform.pids("worker") not in ([than], [])


@pytest.mark.skipif(RESTARTS < 2, reason="takes a minute: make soak")
def test_no_request_fails_while_workers_are_started_anew(
    staged: Platform, mock: Mock, tmp_path: Path
) -> None:
    mock.behave(tokens=16, interval_ms=20)
    with people(staged.port, staged.new_key()) as asking:
        asking.wait_for_more()
        for _ in range(RESTARTS):
            (worker,) = staged.pids("worker")
            os.kill(worker, signal.SIGTERM)
            eventually(partial(another_worker, staged, worker), 120)
            asking.wait_for_more()
    assert asking.failed == []
