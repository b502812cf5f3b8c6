"""The clock of each load: the least energy for a token that keeps the slowest within the bound."""

import pytest

from inference.energy.clock_choice import Bound, Level, Point, levels

pytestmark = pytest.mark.unit


def point(requests: int, mhz: int, joules: float, answer: float, first: float = 50) -> Point:
    return Point(requests, mhz, joules, 100.0, answer, first)


U_SHAPED = [
    point(4, 1980, 3.0, 1000),
    point(4, 1500, 2.4, 1005),
    point(4, 1200, 2.1, 1020),
    point(4, 1005, 2.0, 1029),
    point(4, 810, 2.2, 1030),
    point(4, 510, 2.9, 1400),
]


def test_the_bottom_of_the_u_is_chosen_where_it_is_fast_enough() -> None:
    assert levels(U_SHAPED, Bound()) == [Level(4, 1005)]


def test_one_late_answer_at_the_highest_clock_allows_no_slow_clock() -> None:
    late = [point(4, 1980, 3.0, 1500), point(4, 1500, 2.4, 1005), point(4, 810, 1.5, 1200)]

    assert levels(late, Bound()) == [Level(4, 1500)]
    assert levels([point(1, 1980, 3.0, 1000, 90), point(1, 810, 2.0, 1100, 50)], Bound()) == [
        Level(1, 0)
    ], "neither keeps both bounds"


def test_a_stricter_bound_chooses_a_higher_clock() -> None:
    assert levels(U_SHAPED, Bound(slower=0.02)) == [Level(4, 1200)]
    assert levels(U_SHAPED, Bound(slower=0.0)) == [Level(4, 0)], "the driver's own"


def test_each_load_has_its_own_clock() -> None:
    busy = [point(32, 1980, 0.5, 2000), point(32, 1200, 0.45, 2100), point(32, 1500, 0.47, 2040)]

    assert levels([*busy, *U_SHAPED], Bound()) == [Level(4, 1005), Level(32, 1500)]


def test_first_tokens_are_bounded_too_or_have_a_limit_of_their_own() -> None:
    slow_start = [point(4, 1980, 3.0, 1000, 100), point(4, 1005, 2.0, 1010, 190)]

    assert levels(slow_start, Bound()) == [Level(4, 0)]
    assert levels(slow_start, Bound(first_token_ms=500)) == [Level(4, 1005)]
    assert levels(slow_start, Bound(first_token_ms=150)) == [Level(4, 0)]


def test_without_a_sweep_there_is_no_level() -> None:
    assert levels([], Bound()) == []
