"""A process of ours that stands still is killed and started anew; a machine that sleeps is none."""

import os
import signal
import time
from pathlib import Path

import pytest

from config.supervisor import watchdog
from config.supervisor.ports import find_free
from config.supervisor.watchdog import LOOK_S, START_FACTOR, Silence
from tests import prepared
from tests.supervisor.conftest import Start
from tests.supervisor.running import Running, eventually, get

LIMIT_S = 4
SIGNS = ("config.web_server", "config.grpc_server", "engine.hosted", "-Q jobs", " beat ")


def pids(platform: Running) -> dict[str, int]:
    return {sign: platform.child(sign).pid for sign in SIGNS}


@pytest.mark.soak
@pytest.mark.e2e
@pytest.mark.slow(seconds=40)
def test_processes_that_stand_still_are_started_anew_and_no_others(
    start: Start, home: Path
) -> None:
    prepared.home(home)
    told = {"FOREBAY_WATCHDOG_S": str(LIMIT_S), "FOREBAY_GRPC_PORT": str(find_free())}
    platform = start(home, **told).ready()
    before = pids(platform)
    time.sleep(LIMIT_S)  # all have given a sign

    platform.process.send_signal(signal.SIGSTOP)  # as a machine that sleeps, seen from here
    time.sleep(2 * LIMIT_S)
    platform.process.send_signal(signal.SIGCONT)
    time.sleep(2 * LOOK_S)
    assert pids(platform) == before

    stopped = {sign: before[sign] for sign in SIGNS if sign != "config.grpc_server"}
    for pid in stopped.values():
        os.kill(pid, signal.SIGSTOP)
    for sign in stopped:
        assert eventually(lambda sign=sign: _pid(platform, sign) not in (0, before[sign]), 90), sign  # type: ignore[misc]
    assert eventually(lambda: get(platform.port, "/livez") == 200, 60)
    assert pids(platform)["config.grpc_server"] == before["config.grpc_server"]
    platform.end()
    text = "\n".join(platform.lines)
    assert text.count("ALERT process:stalled") == len(stopped)
    assert "ALERT process:stalled web: no heartbeat" in text


def _pid(platform: Running, sign: str) -> int:
    return next((child.pid for child in platform.children() if sign in child.command), 0)


@pytest.mark.unit
def test_time_in_which_a_process_waited_for_a_processor_is_no_silence(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    waited = [0.0]
    monkeypatch.setattr(watchdog, "waited_for_processor", lambda pid: waited[0])
    silence = Silence(1, limit_s=30)
    silence.reset()
    for _ in range(100):
        waited[0] += 0.9
        too_long = silence.is_too_long(1.0)
    assert not too_long, "ten seconds of its own"
    assert [silence.is_too_long(1.0) for _ in range(30)][-1]


@pytest.mark.unit
def test_a_start_may_take_longer_than_a_silence() -> None:
    silence = Silence(os.getpid(), limit_s=30)
    assert not any(silence.is_too_long(1.0) for _ in range(30 * START_FACTOR))
    assert silence.is_too_long(1.0)
    silence.reset()
    assert not any(silence.is_too_long(1.0) for _ in range(30))
    assert silence.is_too_long(1.0)
