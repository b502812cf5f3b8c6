"""bench/history.csv: what a run writes into it, and what is read from it."""

from pathlib import Path

import pytest

from bench.compare.idle import IdleReport
from bench.report import history
from bench.report.results import COLUMNS
from tests.bench.runs import MACHINE, results

pytestmark = pytest.mark.unit


def test_a_full_run_adds_its_line(tmp_path: Path) -> None:
    file = tmp_path / "history.csv"
    assert history.record(results(), file) == [file]
    later = MACHINE | {"date": "2026-11-28 10:00 UTC", "commit": "def5678"}
    history.record(results(machine=later), file)
    assert [line.about["commit"] for line in history.read(file)] == ["abc1234", "def5678"]


def test_a_line_holds_the_runs_ratios(tmp_path: Path) -> None:
    file = tmp_path / "history.csv"
    history.record(results(idle=IdleReport(20.0, {"web": 0.5, "postgres": 0.7})), file)
    (line,) = history.read(file)
    assert line.about["litellm"] == "1.110.2"
    assert line.figures["json_64_rps_x"] == 20.0
    assert line.figures["json_64_cpu_x"] == 20.0
    assert line.figures["json_64_cpu_ms"] == 0.5
    assert line.figures["streams_64_rps_x"] == 23.0
    assert line.figures["one_json_added_p50_ms"] == 2.9
    assert line.figures["first_token_added_p50_ms"] == 3.9
    assert line.figures["router_json_64_cpu_ms"] == 0.1
    assert line.figures["idle_cpu_percent"] == 1.2


def test_what_a_run_did_not_measure_stays_empty(tmp_path: Path) -> None:
    file = tmp_path / "history.csv"
    history.record(results(), file)
    (line,) = history.read(file)
    assert line.figures["verify_million_s"] is None
    assert file.read_text().endswith(",0.1,0.1\n")


def test_the_line_of_one_run_is_written_once(tmp_path: Path) -> None:
    file = tmp_path / "history.csv"
    history.record(results(), file)
    history.record(results(idle=IdleReport(20.0, {"web": 0.5})), file)
    (line,) = history.read(file)
    assert line.figures["idle_cpu_percent"] == 0.5


@pytest.mark.parametrize(
    "changed",
    [
        {"quick": True},
        {"rounds": 2},
        {"comparison": []},
        {"comparison": [row for row in results().comparison if row.target != "LiteLLM"]},
        {"comparison": [row for row in results().comparison if row.target != "Forebay"]},
    ],
    ids=["quick", "few rounds", "no comparison", "without LiteLLM", "without Forebay"],
)
def test_other_runs_add_nothing(tmp_path: Path, changed: dict[str, object]) -> None:
    file = tmp_path / "history.csv"
    assert history.record(results(**changed), file) == []
    assert not file.exists()


def test_a_file_with_other_columns_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "history.csv"
    file.write_text("date,commit,speed\n2026-11-27,abc1234,7\n")
    with pytest.raises(ValueError, match="columns"):
        history.read(file)


def test_our_history_is_whole() -> None:
    lines = history.read()
    assert [line.about["date"] for line in lines] == sorted(line.about["date"] for line in lines)
    assert len({line.run for line in lines}) == len(lines)
    assert all(line.figures[name] is not None for line in lines for name in COLUMNS[:6])
