"""A process sends signs of life, and falls silent when its loop is stuck."""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace

import pytest

from config.environment import PROJECT
from inference import loop_heartbeats

pytestmark = pytest.mark.unit
LIMIT_S = 1.0
# A loop that turns, until its standard input ends; then it is stuck, and the process lives on.
PROGRAM = """
import sys, asyncio, time
from config import process_heartbeat
from inference import loop_heartbeats
process_heartbeat.begin()
async def work():
    pulse = asyncio.create_task(loop_heartbeats.keep("web"))
    await asyncio.to_thread(sys.stdin.read)
    time.sleep(600)
asyncio.run(work())
"""


@pytest.fixture
def ear(tmp_path: Path) -> Iterator[socket.socket]:
    with closing(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)) as made:
        made.bind(str(tmp_path / "notify"))
        made.settimeout(20)
        yield made


@pytest.fixture
def process(ear: socket.socket) -> Iterator[subprocess.Popen[bytes]]:
    told = {"NOTIFY_SOCKET": ear.getsockname(), "WATCHDOG_USEC": str(int(LIMIT_S * 1e6))}
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM],
        cwd=PROJECT,
        env={**os.environ, **told},
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as made:
        yield made
        made.kill()


def test_a_process_gives_signs_of_life_until_its_loop_is_stuck(
    ear: socket.socket, process: subprocess.Popen[bytes]
) -> None:
    for _ in range(8):
        assert ear.recv(64) == b"WATCHDOG=1"
    assert process.stdin
    process.stdin.close()
    ear.settimeout(2 * LIMIT_S)
    with pytest.raises(TimeoutError):
        for _ in range(40):
            ear.recv(64)
    assert process.poll() is None
    process.kill()
    assert process.stderr
    assert b"ALERT process:stalled: the loop of web 1 does not turn" in process.stderr.read()


def test_signs_that_are_meant_for_another_process_are_not_given(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """WATCHDOG_PID: systemd's, which every child inherits."""
    from config import process_heartbeat

    monkeypatch.setenv("WATCHDOG_USEC", "1000000")
    assert process_heartbeat._limit_s() == 1.0
    monkeypatch.setenv("WATCHDOG_PID", str(os.getppid()))
    assert process_heartbeat._limit_s() == 0.0


def test_a_loop_with_patience_of_its_own_is_not_stalled_before(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(loop_heartbeats, "_latest", {})
    now = [0.0]
    clock = SimpleNamespace(monotonic=lambda: now[0])
    monkeypatch.setattr("inference.loop_heartbeats.time", clock)
    loop_heartbeats.beat("web")
    loop_heartbeats.beat("clock", 300)
    now[0] = 20
    assert loop_heartbeats.stalled(15) == ["web"]
    now[0] = 301
    assert loop_heartbeats.stalled(15) == ["web", "clock"]
    loop_heartbeats.forget("web")
    loop_heartbeats.beat("clock", 300)
    assert loop_heartbeats.stalled(15) == []
