"""Confidence intervals, against figures from the literature and against simulation."""

import random
from math import exp

import pytest

from inference.evaluation.statistics import (
    bootstrap,
    bootstrap_difference,
    wilson,
    wilson_difference,
)

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    ("successes", "count", "low", "high"),
    [  # Newcombe, Statistics in Medicine 17 (1998), table I, method 3
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0000, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_wilsons_interval_is_the_published_one(
    successes: int, count: int, low: float, high: float
) -> None:
    assert wilson(successes, count) == pytest.approx((low, high), abs=5e-5)


@pytest.mark.parametrize(
    ("ours", "theirs", "low", "high"),
    [  # Newcombe, Statistics in Medicine 17 (1998), 873, table II, method 10
        ((56, 70), (48, 80), 0.0524, 0.3339),
        ((9, 10), (3, 10), 0.1705, 0.8090),
    ],
)
def test_the_interval_of_a_difference_is_the_published_one(
    ours: tuple[int, int], theirs: tuple[int, int], low: float, high: float
) -> None:
    assert wilson_difference(ours, theirs) == pytest.approx((low, high), abs=5e-5)
    assert wilson_difference(theirs, ours) == pytest.approx((-high, -low), abs=5e-5)


def test_no_items_say_nothing() -> None:
    assert wilson(0, 0) == (0.0, 1.0)
    assert wilson_difference((0, 0), (0, 0)) == (-1.0, 1.0)
    assert bootstrap([], float) == (0.0, 0.0)


def test_the_bootstrap_holds_the_true_mean_about_as_often_as_it_says() -> None:
    generator, held = random.Random(7), 0
    for _ in range(100):
        pairs = [(generator.gauss(3.0, 1.0), 1.0) for _ in range(60)]
        low, high = bootstrap(pairs, float)
        held += low <= 3.0 <= high
    assert 87 <= held <= 100


def test_items_are_drawn_whole_and_weigh_what_they_are() -> None:
    """A ratio of sums: long texts count more than short ones."""
    pairs = [(300.0, 100.0), (10.0, 10.0)]
    low, high = bootstrap(pairs, exp)
    assert low == pytest.approx(exp(1.0))
    assert high == pytest.approx(exp(3.0))


def test_a_difference_over_the_same_items_is_narrower_than_the_figures() -> None:
    generator = random.Random(3)
    theirs = [(generator.gauss(3.0, 1.0), 1.0) for _ in range(100)]
    ours = [(loss + 0.01, one) for loss, one in theirs]
    low, high = bootstrap_difference(ours, theirs, lambda a, b: exp(a) / exp(b) - 1)
    assert low == pytest.approx(exp(0.01) - 1)
    assert high == pytest.approx(exp(0.01) - 1)


def test_the_same_items_give_the_same_interval() -> None:
    pairs = [(float(n % 7), 1.0) for n in range(50)]
    assert bootstrap(pairs, float) == bootstrap(list(pairs), float)
