"""The aims of a run: met by what is measured, or not."""

import pytest

from bench.compare.engine import MANY, ONE
from bench.compare.idle import IdleReport
from tests.bench import runs
from tests.bench.runs import comparison, results

pytestmark = pytest.mark.unit


def test_good_figures_meet_every_aim_of_the_comparison() -> None:
    aims = results().aims()
    assert len(aims) == 14
    assert [aim.text for aim in aims if not aim.met] == []


def test_figures_a_little_worse_meet_none_of_them() -> None:
    rows = comparison()
    for row in rows:
        if row.target == "Forebay":
            row.metrics = {name: value and value + 6 for name, value in row.metrics.items()}
            row.metrics["rps"] = (row["rps"] or 0) * 0.9
            row.cpu_ms, row.bad = (row.cpu_ms or 0) * 3, 1
    missed = [aim for aim in results(comparison=rows).aims() if not aim.met]
    assert len(missed) == 14


def test_without_litellm_its_ratios_are_not_measured() -> None:
    rows = [row for row in comparison() if row.target != "LiteLLM"]
    aims = [aim for aim in results(comparison=rows).aims() if "LiteLLM" in aim.text]
    assert [aim.met for aim in aims] == [None] * 4


@pytest.mark.parametrize(("web", "met"), [(1.4, True), (1.6, False)])
def test_an_idle_platform_takes_hardly_any_cpu(web: float, met: bool) -> None:
    aim = next(a for a in results(idle=IdleReport(20.0, {"web": web})).aims() if "idle" in a.text)
    assert aim.met is met


def test_the_engines_share() -> None:
    rows = [runs.row(ONE, "direct", tokens_per_s=100), runs.row(ONE, "Forebay", tokens_per_s=96)]
    rows += [runs.row(MANY, "direct", tokens_per_s=100), runs.row(MANY, "Forebay", tokens_per_s=99)]
    aims = results(comparison=[], engine=rows).aims()
    assert [aim.met for aim in aims] == [False, True]
