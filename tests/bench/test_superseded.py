"""bench/results holds the newest run of each part."""

import json
from pathlib import Path

import pytest

from bench.report import superseded

pytestmark = pytest.mark.unit


def ran(folder: Path, name: str, *parts: str, rounds: int = 3, quick: bool = False) -> Path:
    about = {"machine": {"cpu": "x"}, "quick": quick, "rounds": rounds, "aims": [1], "memory": None}
    path = folder / f"{name}.json"
    path.write_text(json.dumps(about | {part: [1] for part in parts}))
    path.with_suffix(".md").write_text("")
    return path


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_a_run_removes_what_it_measured_anew(tmp_path: Path) -> None:
    ran(tmp_path, "old", "audit")
    newer = ran(tmp_path, "new", "audit", "comparison")
    superseded.remove(tmp_path, newer)
    assert names(tmp_path) == {"new.json", "new.md"}


def test_what_holds_another_part_stays(tmp_path: Path) -> None:
    ran(tmp_path, "old", "comparison", "memory")
    newer = ran(tmp_path, "new", "comparison")
    assert superseded.remove(tmp_path, newer) == []


def test_fewer_rounds_supersede_nothing(tmp_path: Path) -> None:
    ran(tmp_path, "old", "comparison")
    newer = ran(tmp_path, "new", "comparison", rounds=1)
    assert superseded.remove(tmp_path, newer) == []


def test_quick_runs_are_nobodys(tmp_path: Path) -> None:
    ran(tmp_path, "old-quick", "comparison", quick=True)
    newer = ran(tmp_path, "new", "comparison")
    assert superseded.remove(tmp_path, newer) == []


def test_a_part_that_was_measured_by_itself_stays(tmp_path: Path) -> None:
    """Its file has another shape: bench/parts/audit_search.py writes such."""
    alone = tmp_path / "2026-11-25-audit-search.json"
    alone.write_text('{"rows": 10000000, "rounds": 3, "questions": [1]}')
    newest = tmp_path / "2026-11-26.json"
    newest.write_text('{"quick": false, "rounds": 3, "comparison": [1]}')
    assert superseded.remove(tmp_path, newest) == []
    assert alone.exists()


def test_a_simulated_day_stays(tmp_path: Path) -> None:
    """It has no rounds: bench/simulate/__main__.py writes such."""
    (tmp_path / "2026-11-27-simulated-day.json").write_text('{"seed": 1, "tenants": 10000}')
    newer = ran(tmp_path, "new", "comparison")
    assert superseded.remove(tmp_path, newer) == []
