import signal
import time
from pathlib import Path

import pytest

from tests import prepared
from tests.supervisor.conftest import Start
from tests.supervisor.running import eventually, get, left_of

pytestmark = pytest.mark.e2e


@pytest.mark.slow(seconds=20)
def test_after_kill_9_a_new_run_starts_clean_and_soon(start: Start, home: Path) -> None:
    prepared.home(home)
    began = time.monotonic()
    first = start().ready()
    usual = time.monotonic() - began
    first.end(signal.SIGKILL)
    assert eventually(lambda: left_of(home) == [], 5)

    began = time.monotonic()
    second = start(FOREBAY_PORT=str(first.port)).ready()
    assert time.monotonic() - began < 2 * usual + 5
    assert get(second.port, "/livez") == 200

    assert second.end(signal.SIGINT) < 10
    assert left_of(home) == []


@pytest.mark.slow(seconds=15)
def test_two_run_side_by_side(start: Start, tmp_path: Path) -> None:
    homes = [tmp_path / "one", tmp_path / "other"]
    for home in homes:
        prepared.home(home)
    one, other = (start(home) for home in homes)
    one.ready()
    other.ready()

    assert get(one.port, "/livez") == get(other.port, "/livez") == 200
    assert one.told["DATABASE_URL"] != other.told["DATABASE_URL"]
    one.end()
    assert get(other.port, "/livez") == 200
    assert left_of(one.home) == []


def test_a_stop_while_it_starts(start: Start) -> None:
    running = start()
    running.line("database ready|redis ready")

    assert running.end(signal.SIGINT) < 10
    assert left_of(running.home) == []
