"""The agent as a process of its own: however it ends, the clocks are the driver's again."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from config.energy.client import AgentClient, AgentError
from config.energy.guardian import HANGS_S
from tests.config.energy.gpus import StagedGpus

pytestmark = [pytest.mark.unit, pytest.mark.slow(seconds=30)]
DEFAULT = {"0": None, "1": None}


def eventually(holds: Callable[[], bool], within_s: float = 20) -> None:
    until = time.monotonic() + within_s
    while not holds():
        assert time.monotonic() < until, "it does not happen"
        time.sleep(0.05)


def run(gpus: StagedGpus, *options: str) -> subprocess.Popen[str]:
    words = ["-m", "config.command", "energy", "agent", "--bounds", str(gpus.bounds)]
    line = [sys.executable, *words, *options]
    return subprocess.Popen(line, env=gpus.environment, text=True, stderr=subprocess.PIPE)


class Agent:
    def __init__(self, gpus: StagedGpus, folder: Path) -> None:
        self.gpus, self.socket = gpus, folder / "agent.sock"
        self.client = AgentClient(self.socket)
        self.process = run(gpus, "--socket", str(self.socket))

    @property
    def child(self) -> int:
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        return int(children.read_text().split()[0])

    def reset(self) -> int:
        process = run(self.gpus, "--reset")
        process.communicate(timeout=60)
        return process.returncode

    def end(self) -> str:
        """Stop it, and return its log."""
        if self.process.poll() is None:
            self.process.terminate()
        return self.process.communicate(timeout=20)[1]


@pytest.fixture
def gpus(tmp_path: Path) -> StagedGpus:
    gpus = StagedGpus(tmp_path)
    gpus.change(clocks={"0": 810, "1": 1005})  # an earlier agent left them so
    return gpus


@pytest.fixture
def agent(gpus: StagedGpus, tmp_path: Path) -> Iterator[Agent]:
    agent = Agent(gpus, tmp_path)
    try:
        eventually(lambda: gpus.clocks == DEFAULT)  # reset on start
        yield agent
    finally:
        agent.end()


def lock(agent: Agent) -> None:
    agent.client.lock("0", 1005)
    agent.client.lock("1", 1200)
    assert agent.gpus.clocks == {"0": 1005, "1": 1200}


def test_it_locks_for_its_user_and_resets_when_told_to_stop(agent: Agent) -> None:
    lock(agent)
    agent.process.terminate()

    assert agent.process.wait(20) == 0
    assert agent.gpus.clocks == DEFAULT


def test_a_killed_agent_leaves_default_clocks(agent: Agent) -> None:
    lock(agent)
    os.kill(agent.child, signal.SIGKILL)

    assert agent.process.wait(20) == 1  # systemd starts it again
    assert agent.gpus.clocks == DEFAULT


def test_an_agent_whose_parent_is_killed_leaves_default_clocks(agent: Agent) -> None:
    lock(agent)
    agent.process.kill()

    eventually(lambda: agent.gpus.clocks == DEFAULT, 5)


def test_after_both_are_killed_at_once_a_reset_leaves_default_clocks(agent: Agent) -> None:
    lock(agent)
    child = agent.child
    os.kill(agent.process.pid, signal.SIGSTOP)
    os.kill(child, signal.SIGKILL)
    agent.process.kill()
    agent.process.wait(20)
    assert agent.gpus.clocks == {"0": 1005, "1": 1200}

    assert agent.reset() == 0  # ExecStopPost of the unit
    assert agent.gpus.clocks == DEFAULT


def test_an_agent_that_hangs_is_killed_and_its_clocks_are_reset(agent: Agent) -> None:
    lock(agent)
    os.kill(agent.child, signal.SIGSTOP)
    began = time.monotonic()

    assert agent.process.wait(20) == 1
    assert agent.gpus.clocks == DEFAULT
    assert time.monotonic() - began > 2


def test_a_driver_that_opens_slowly_is_waited_for(gpus: StagedGpus, tmp_path: Path) -> None:
    gpus.change(hangs={"init": HANGS_S + 1})
    agent = Agent(gpus, tmp_path)
    try:
        eventually(lambda: gpus.clocks == DEFAULT)
        gpus.change(hangs={})
        lock(agent)
    finally:
        agent.end()


def test_a_silent_governor_loses_its_clocks_within_five_seconds(agent: Agent) -> None:
    lock(agent)

    eventually(lambda: agent.gpus.clocks == DEFAULT, 8)
    agent.client.lock("0", 1005)  # and may ask again
    assert agent.gpus.clocks["0"] == 1005


def test_another_user_is_refused(gpus: StagedGpus, tmp_path: Path) -> None:
    gpus.allow(user=os.geteuid() + 4321)
    agent = Agent(gpus, tmp_path)
    try:
        eventually(agent.socket.exists)
        with pytest.raises(AgentError):
            agent.client.lock("0", 1005)
        assert gpus.clocks == DEFAULT
    finally:
        log = agent.end()
    assert f"user {os.geteuid()} is not in the bounds" in log


def test_connections_that_say_nothing_or_too_much_hold_nobody_up(agent: Agent) -> None:
    silent = [_connected(agent) for _ in range(4)]
    for garbage in (b"\xff\xfe", b"x" * 100_000, b"lock " * 50, b"lock 0 \xd9\xa1", b""):
        with _connected(agent) as connection:
            connection.send(garbage)

    lock(agent)
    for connection in silent:
        connection.close()


def test_it_does_not_start_with_bounds_that_others_may_write(gpus: StagedGpus) -> None:
    gpus.bounds.chmod(0o666)
    process = run(gpus, "--reset")
    _output, errors = process.communicate(timeout=20)

    assert process.returncode == 2
    assert "chmod go-w" in errors


def _connected(agent: Agent) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    connection.connect(str(agent.socket))
    return connection
