import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from config.supervisor.engines.server_life import memory_mb
from config.supervisor.home import Home
from config.supervisor.own_processes import RUN_ID, OwnProcesses

pytestmark = pytest.mark.unit
Sleeper = subprocess.Popen[bytes]


@pytest.fixture
def kin(tmp_path: Path) -> OwnProcesses:
    home = Home(tmp_path)
    home.take()
    return OwnProcesses(home)


@pytest.fixture
def sleeper() -> Iterator[Sleeper]:
    with subprocess.Popen(["sleep", "60"]) as process:
        yield process
        process.kill()


def test_ends_what_was_written_down(kin: OwnProcesses, sleeper: Sleeper) -> None:
    kin.add("sleeper", sleeper.pid)

    kin.end_orphans(patience=0)

    assert sleeper.wait(5) == -9


def test_ends_whoever_bears_the_run_id(kin: OwnProcesses, sleeper: Sleeper) -> None:
    kin.add("sleeper", sleeper.pid)
    with subprocess.Popen(["sleep", "60"], env={RUN_ID: kin.run_id}) as grandchild:
        kin.end_orphans(patience=0)
        assert grandchild.wait(5) == -9


def test_a_stranger_whose_name_is_no_utf_8_stops_nothing(
    kin: OwnProcesses, sleeper: Sleeper, tmp_path: Path
) -> None:
    """The kernel cuts names to 15 bytes, also within a character."""
    program = os.fsencode(tmp_path) + b"/\xe6\x9c\x8d\xe5\x8a"
    shutil.copy(b"/bin/sleep", program)
    with subprocess.Popen([program, "60"]) as stranger:
        kin.add("sleeper", sleeper.pid)
        kin.end_orphans(patience=0)
        assert sleeper.wait(5) == -9
        assert stranger.poll() is None
        assert memory_mb(os.getpgid(stranger.pid)) >= 0
        stranger.kill()


def test_spares_a_stranger_with_a_recycled_pid(
    kin: OwnProcesses, sleeper: Sleeper, tmp_path: Path
) -> None:
    kin.add("sleeper", sleeper.pid)
    file = tmp_path / "run" / "processes.json"
    record = json.loads(file.read_text())
    record["lives"][0][1] -= 1  # the one that was written down had started earlier
    file.write_text(json.dumps(record))

    kin.end_orphans(patience=0)

    assert sleeper.poll() is None


def test_spares_everybody_after_a_reboot(
    kin: OwnProcesses, sleeper: Sleeper, tmp_path: Path
) -> None:
    kin.add("sleeper", sleeper.pid)
    file = tmp_path / "run" / "processes.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "boot": "another"}))

    kin.end_orphans(patience=0)

    assert sleeper.poll() is None


@pytest.mark.parametrize("text", ["", "{"])
def test_a_broken_record_ends_nobody(
    kin: OwnProcesses, sleeper: Sleeper, tmp_path: Path, text: str
) -> None:
    kin.add("sleeper", sleeper.pid)
    (tmp_path / "run" / "processes.json").write_text(text)

    kin.end_orphans(patience=0)

    assert sleeper.poll() is None
