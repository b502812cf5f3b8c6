import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

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


def test_a_name_that_the_kernel_cut_within_a_letter_is_no_obstacle(
    kin: OwnProcesses, sleeper: Sleeper, tmp_path: Path
) -> None:
    """It keeps fifteen bytes: of anybody's program on this machine."""
    program = tmp_path / "a睡眠睡眠睡眠"
    program.symlink_to("/bin/sleep")
    kin.add("sleeper", sleeper.pid)
    with subprocess.Popen([str(program), "60"]) as stranger:
        kin.end_orphans(patience=0)
        assert stranger.poll() is None
        stranger.kill()
    assert sleeper.wait(5) == -9


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
