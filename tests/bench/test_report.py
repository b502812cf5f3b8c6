"""The files that a run of the bench leaves."""

import subprocess
from pathlib import Path

import pytest

from bench.compare.idle import IdleReport
from bench.report import files
from bench.servers.child import REPOSITORY
from tests.bench.runs import results

pytestmark = pytest.mark.unit


def test_a_full_run_leaves_its_files_and_its_line(tmp_path: Path) -> None:
    line_in = tmp_path / "history.csv"
    folder = tmp_path / "results"
    files.write(results(), "2026-11-27", folder, line_in)
    assert {path.name for path in folder.iterdir()} == {
        "2026-11-27.json",
        "2026-11-27.md",
        "2026-11-27.svg",
    }
    assert line_in.exists()


def test_a_quick_run_adds_no_line(tmp_path: Path) -> None:
    line_in = tmp_path / "history.csv"
    files.write(results(), "2026-11-26", tmp_path / "results", line_in)
    before = line_in.read_text()
    files.write(results(quick=True), "2026-11-27-quick", tmp_path / "results", line_in)
    assert line_in.read_text() == before


def test_git_does_not_see_what_a_quick_run_writes() -> None:
    ask = ["git", "check-ignore", "--quiet", "bench/results/2026-11-27-quick-mock.json"]
    if not (REPOSITORY / ".git").exists():
        pytest.skip("not a checkout")
    assert subprocess.run(ask, cwd=REPOSITORY, check=False).returncode == 0


def test_the_page_has_the_others_and_the_idle_platform(tmp_path: Path) -> None:
    wanted = results(idle=IdleReport(20.0, {"web": 0.5, "worker": 0.2}), router="0.1.17")
    files.write(wanted, "run", tmp_path, tmp_path / "history.csv")
    page = (tmp_path / "run.md").read_text()
    assert "vllm-router 0.1.17" in page
    assert "| json c=64 | vllm-router | 9,000 |" in page
    assert "| together | web | worker |\n| --- | --- | --- |\n| 0.70 | 0.50 | 0.20 |" in page
    assert "Commit abc1234" in page
    assert "Bad answers" not in page


def test_the_page_lists_what_bad_answers_began_with(tmp_path: Path) -> None:
    run = results()
    run.comparison[0].wrong = ["no [DONE]"]
    files.write(run, "run", tmp_path, tmp_path / "history.csv")
    page = (tmp_path / "run.md").read_text()
    assert "Bad answers began with:\n\n* `direct, json c=1: no [DONE]`" in page
