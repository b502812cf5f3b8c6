"""Figures of the memory bench."""

import pytest

from bench.compare.comparison import Row
from bench.parts.bodies.big_bodies import AT_ONCE, LOADS, BodiesReport
from bench.parts.memory import growth

pytestmark = pytest.mark.unit


def test_growth_is_of_the_later_half() -> None:
    """What a process takes at its start is no growth."""
    assert growth([0, 100, 200, 300], [50.0, 90.0, 100.0, 100.0]) == 0
    assert growth([0, 100, 200, 300], [50.0, 90.0, 100.0, 100.1]) == pytest.approx(1000)


def test_a_megabyte_costs_what_a_large_prompt_takes_more_than_a_small_one() -> None:
    def row(load: str, cpu_ms: float) -> Row:
        return Row(load, "Forebay", 1, 0, [], cpu_ms, {"web": cpu_ms}, {}, [])

    rows = [row(load.name, 2.0 + 10 * load.prompt_bytes / 1_000_000) for load in LOADS]
    for clients in AT_ONCE:
        assert BodiesReport(1.0, rows).per_mb(clients)["web"] == pytest.approx(10)
