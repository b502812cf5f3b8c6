"""The marks of soak decide which cases run, and how long each may take."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from config.environment import PROJECT

CASES = """
from pytest import mark

@mark.soak
def test_whole(): ...

@mark.soak("slow")
@mark.parametrize("case", ["slow", "quick"])
@mark.timeout(5)
def test_case(case, request):
    print("limit", request.node.get_closest_marker("timeout").args[0])
"""


def ran(tmp_path: Path, **variables: str) -> list[str]:
    """Returns names of the tests that ran, and limits that they saw."""
    (tmp_path / "test_cases.py").write_text(CASES)
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    command = [sys.executable, "-m", "pytest", "-p", "tests.soak", "-p", "no:django", "-rP", "-v"]
    clean = {"PATH": os.environ["PATH"], "PYTHONPATH": str(PROJECT)}
    run = subprocess.run(
        command, cwd=tmp_path, env=clean | variables, capture_output=True, text=True, check=True
    )
    words = [line.split(" PASSED")[0] for line in run.stdout.splitlines()]
    return [word for word in words if word.startswith(("test_cases.py::", "limit"))]


@pytest.mark.unit
def test_make_test_leaves_marked_cases_out(tmp_path: Path) -> None:
    assert ran(tmp_path) == ["test_cases.py::test_case[quick]", "limit 5"]


@pytest.mark.unit
def test_make_soak_runs_all_with_more_time(tmp_path: Path) -> None:
    assert ran(tmp_path, FOREBAY_TEST_SOAK="1") == [
        "test_cases.py::test_whole",
        "test_cases.py::test_case[slow]",
        "test_cases.py::test_case[quick]",
        "limit 30",
        "limit 30",
    ]
