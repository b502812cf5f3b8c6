"""Figures of the bench of refused bodies."""

import pytest

from bench.parts.bodies.refusals import Refusal, RefusalsReport, aims, measure, section

pytestmark = pytest.mark.unit


def report(*milliseconds: float) -> RefusalsReport:
    others = Refusal("numbers", 4_000_000, 4_000, [1.0], [2.0])
    return RefusalsReport([others, Refusal("lists", 4_000_000, 4_000, [1.0], [*milliseconds])])


@pytest.mark.parametrize(
    ("milliseconds", "is_met"), [((49.9, 50.0, 90.0), True), ((40.0, 50.1, 51.0), False)]
)
def test_the_aim_is_of_the_slowest_body_by_its_median(
    milliseconds: tuple[float, ...], is_met: bool
) -> None:
    assert [aim.met for aim in aims(report(*milliseconds))] == [is_met]


def test_each_body_is_refused_and_has_a_line() -> None:
    """One that was taken would end the measurement."""
    measured = measure(rounds=1)
    assert len(measured.refusals) > 20
    for each in measured.refusals:
        assert f"| {each.name} | {each.length:,} |" in section(measured)
        assert len(each.plain_ms) == len(each.packed_ms) == 1
