import os
import queue
import signal
import time
from contextlib import suppress
from pathlib import Path

import pytest

from tests import prepared
from tests.supervisor.conftest import Start
from tests.supervisor.running import eventually, get, left_of

pytestmark = pytest.mark.e2e


@pytest.mark.soak
@pytest.mark.slow(seconds=30)
def test_after_kill_9_a_new_run_starts_clean_and_soon_beside_another(
    start: Start, tmp_path: Path
) -> None:
    home, beside = tmp_path / "one", tmp_path / "other"
    for place in (home, beside):
        prepared.home(place)
    began = time.monotonic()
    first = start(home).ready()
    usual = time.monotonic() - began
    other = start(beside).ready()
    assert get(first.port, "/livez") == get(other.port, "/livez") == 200
    assert first.told["DATABASE_URL"] != other.told["DATABASE_URL"]
    first.end(signal.SIGKILL)
    assert eventually(lambda: left_of(home) == [], 5)
    assert get(other.port, "/livez") == 200

    began = time.monotonic()
    second = start(home, FOREBAY_PORT=str(first.port)).ready()
    assert time.monotonic() - began < 2 * usual + 5
    assert get(second.port, "/livez") == 200

    assert second.end(signal.SIGINT) < 10
    assert left_of(home) == []
    assert get(other.port, "/livez") == 200


def _checkpointer(data: Path) -> int:
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            of_data = (folder / "cwd").samefile(data)
            if of_data and b"checkpointer" in (folder / "cmdline").read_bytes():
                return int(folder.name)
    raise AssertionError("no checkpointer")


def test_after_kill_9_a_new_run_waits_for_the_rest_of_postgresql(start: Start, home: Path) -> None:
    """A process of it that is busy, here one that is halted, outlives the head."""
    first = start()
    first.line("database ready")
    rest = _checkpointer(home / "postgres")
    os.kill(rest, signal.SIGSTOP)
    try:
        first.end(signal.SIGKILL)
        second = start()
        with pytest.raises(queue.Empty):
            second.line("database ready|ended", patience=6)  # 3 of them for the head
    finally:
        os.kill(rest, signal.SIGCONT)
    second.line("database ready")


@pytest.mark.parametrize("after_s", [0.15, 0.4, 0.8, 1.5])
def test_ctrl_c_while_it_loads_shows_no_traceback(start: Start, after_s: float) -> None:
    """Python itself may show one before our first line runs, and then ends with 1."""
    running = start()
    time.sleep(after_s)
    running.end(signal.SIGINT)
    text = "\n".join(running.lines)
    assert "Traceback" not in text or "/config/" not in text, text
    assert running.process.returncode in (-signal.SIGINT, 0, 130) or "Traceback" in text
    assert left_of(running.home) == []


def test_a_stop_while_it_starts(start: Start) -> None:
    running = start()
    running.line("database ready|redis ready")

    assert running.end(signal.SIGINT) < 10
    assert left_of(running.home) == []
