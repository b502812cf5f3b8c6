"""A test that takes longer than its mark allows fails, where the run asks for that."""

import subprocess
import sys
from pathlib import Path

import pytest

from config.environment import PROJECT

pytestmark = pytest.mark.unit
TESTS = """
import time, pytest

def test_quick(): pass

@pytest.mark.slow(seconds=0.05)
def test_late(): time.sleep(0.2)

@pytest.mark.slow(seconds=0.05)
def test_wrong():
    time.sleep(0.2)
    assert False, "its own reason"

@pytest.mark.slow(seconds=60)
def test_in_time(): time.sleep(0.2)
"""


@pytest.mark.parametrize(
    ("options", "failed"),
    [((), {"test_wrong"}), (("--pace", "2"), {"test_late", "test_wrong"})],
    ids=["not asked for", "asked for"],
)
def test_the_late_ones_fail(tmp_path: Path, options: tuple[str, ...], failed: set[str]) -> None:
    (tmp_path / "test_some.py").write_text(TESTS)
    command = [sys.executable, "-m", "pytest", "-c", "/dev/null", "-p", "tests.pace", "-rf"]
    ended = subprocess.run(
        [*command, "-p", "no:django", f"--rootdir={tmp_path}", *options, str(tmp_path)],
        cwd=PROJECT,
        capture_output=True,
        text=True,
    )
    said = [line for line in ended.stdout.splitlines() if line.startswith("FAILED")]
    assert {line.split("::")[1].split(" ")[0] for line in said} == failed, (
        ended.stdout + ended.stderr
    )
    assert "its own reason" in ended.stdout
    assert ("make it faster" in ended.stdout) == bool(options)
