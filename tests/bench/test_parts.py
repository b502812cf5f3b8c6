"""Parts with servers of their own: the options of each, and where its report goes."""

from importlib import import_module
from inspect import signature
from typing import Any

import pytest

from bench.figures import Spread
from bench.parts.audit.load import AuditReport, Flood, FloodRow
from bench.parts.audit.sealing import Sealed
from bench.parts.catalogue import PARTS
from bench.report import page
from tests.bench.runs import results

pytestmark = pytest.mark.unit


def audit() -> AuditReport:
    spread = Spread(19.5, 32.7)
    flood = Flood(6_000, 0, 4.0, 0.45, spread, {"writer": 0.2}, Sealed(9_000, 0.3, 64))
    return AuditReport(4.0, [FloodRow("64 at once", [flood])])


def test_a_report_has_its_section_its_aims_and_a_field_of_its_own() -> None:
    run = results(comparison=[], parts={"audit": PARTS["audit"].summary(audit())})
    assert "## Audit\n\n|" in page.page(run)
    assert "| 64 at once | 1,500 | 19.5 / 32.7 | 30,000 | 64 | 0.20 /" in page.page(run)
    assert [aim.met for aim in run.aims()] == [False]
    assert run.key_figures()["audited_64_per_s"] == 1_500
    assert run.as_json()["audit"]["floods"][0]["name"] == "64 at once"
    assert "parts" not in run.as_json()


@pytest.mark.parametrize("name", PARTS)
def test_a_parts_module_measures_by_its_options(name: str) -> None:
    module = import_module(f"bench.parts.{PARTS[name].module}")
    assert signature(module.measure).parameters.keys() == PARTS[name].full.keys()
    assert callable(module.section)
    assert callable(module.aims)


@pytest.mark.parametrize("name", PARTS)
def test_a_quick_run_has_the_options_of_a_full_one(name: str) -> None:
    assert PARTS[name].quick.keys() == PARTS[name].full.keys()


@pytest.mark.parametrize(
    ("name", "quick", "asked", "size"),
    [
        ("admission", False, (None, None), {"rounds": 5, "seconds": 6.0}),
        ("admission", True, (7, None), {"rounds": 7, "seconds": 3.0}),
        ("usage", True, (7, 9.0), {"rows": 500_000}),
    ],
)
def test_options_of_the_command_line_go_before_those_of_the_part(
    name: str, quick: bool, asked: tuple[Any, Any], size: dict[str, float]
) -> None:
    rounds, seconds = asked
    assert PARTS[name].size(quick=quick, rounds=rounds, seconds=seconds) == size
