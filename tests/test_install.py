"""requirements/install.sh with a pip that is played: what is seen of an installation."""

import os
import pty
import signal
import subprocess
import time
from pathlib import Path

import pytest

from config.environment import PROJECT

pytestmark = pytest.mark.unit
LOCK = "one==1.0 \\\n    --hash=sha256:00\ntwo==2.0 \\\n    --hash=sha256:00\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / ".venv").mkdir()
    (tmp_path / "base.txt").write_text(LOCK)
    return tmp_path


def command(folder: Path, script: str) -> list[str]:
    """install.sh, with a Python that does this instead of running pip."""
    python = folder / "python"
    python.write_text(f"#!/bin/sh\n{script}\n")
    python.chmod(0o755)
    return ["sh", str(PROJECT / "requirements" / "install.sh"), str(python), "base.txt"]


def install(folder: Path, script: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(folder, script), cwd=folder, capture_output=True, text=True, timeout=30, check=False
    )


def test_one_line_is_shown_and_the_rest_is_in_the_log(folder: Path) -> None:
    done = install(folder, 'echo "$@"; echo Collecting one; echo a warning >&2')
    assert (done.returncode, done.stdout) == (0, "")
    (line,) = done.stderr.splitlines()
    assert line.startswith("Installing 2 packages of base.txt into .venv")
    asked, *told = (folder / ".venv" / "install.log").read_text().splitlines()
    assert asked.startswith("-m pip ")
    assert asked.endswith("--no-deps --require-hashes -r base.txt")
    assert told == ["Collecting one", "a warning"]


def test_a_failure_ends_with_the_end_of_the_log(folder: Path) -> None:
    said = "for n in $(seq 1 40); do echo line $n; done; echo no such version >&2; exit 3"
    done = install(folder, said)
    assert (done.returncode, done.stdout) == (1, "")
    first, blamed, *shown = done.stderr.splitlines()
    assert first.startswith("Installing 2 packages")
    assert blamed == "The installation failed; the end of .venv/install.log:"
    assert shown == [f"line {n}" for n in range(17, 41)] + ["no such version"]


def interrupted(line: list[str], folder: Path) -> tuple[int, str]:
    """The exit code, and what is said, at a Ctrl-C once it has begun: all of a terminal get it."""
    with subprocess.Popen(
        line, cwd=folder, stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        while not (folder / "begun").exists():
            time.sleep(0.02)
        os.killpg(process.pid, signal.SIGINT)
        _, said = process.communicate(timeout=20)
    return process.returncode, said


# As Python: a traceback at SIGINT. What it has started would go on for a minute.
PLAYED = """
trap 'echo Traceback >&2; exit 1' INT
sleep 60 & echo $! >child
touch begun
wait
"""


def test_ctrl_c_ends_an_installation_in_one_line(folder: Path) -> None:
    code, said = interrupted(command(folder, PLAYED), folder)
    assert code == 130
    assert said.splitlines()[1:] == ["Stopped: the next make goes on with what is fetched already"]
    assert not Path("/proc", (folder / "child").read_text().strip(), "exe").exists()


def test_ctrl_c_ends_a_step_in_one_line(folder: Path) -> None:
    *_, python, _lock = command(folder, PLAYED)
    step = ["sh", str(PROJECT / "requirements" / "step.sh"), python, "-m", "venv"]
    code, said = interrupted(step, folder)
    assert code == 130
    assert said.strip() == "Stopped: the next make begins this step anew"
    assert not Path("/proc", (folder / "child").read_text().strip(), "exe").exists()


def test_a_step_ends_as_its_command_does(folder: Path) -> None:
    step = ["sh", str(PROJECT / "requirements" / "step.sh"), "sh", "-c", "echo done; exit 3"]
    ended = subprocess.run(step, capture_output=True, text=True, timeout=20)
    assert (ended.returncode, ended.stdout, ended.stderr) == (3, "done\n", "")


def test_make_installs_by_these_two_alone() -> None:
    """Else Ctrl-C shows a traceback."""
    recipes = (PROJECT / "Makefile").read_text().partition(".venv/.base: ")[2]
    for line in recipes.splitlines():
        if "$(PIP)" in line or "-m venv" in line:
            assert line.startswith("\t@sh requirements/step.sh "), line


def test_on_a_terminal_the_line_counts_and_stays_one(folder: Path) -> None:
    script = "echo Collecting one; while [ ! -e go ]; do sleep 0.1; done; echo Collecting two"
    terminal, its_end = pty.openpty()
    with subprocess.Popen(command(folder, script), cwd=folder, stderr=its_end) as process:
        os.close(its_end)
        seen = b""
        while b"1 of 2 packages fetched" not in seen:
            seen += os.read(terminal, 4096)
        (folder / "go").touch()
        while b"\n" not in seen:
            seen += os.read(terminal, 4096)
    os.close(terminal)
    assert process.returncode == 0
    assert seen.count(b"\n") == 1
    last = seen.decode().strip().rpartition("\r\x1b[K")[2]
    assert last == "Installed 2 packages of base.txt into .venv"
