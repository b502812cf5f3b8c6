"""The rank test that timing tests rely on sees a difference where there is one."""

import random

import pytest

from tests.inference.rank_test import BOUND, deviations

pytestmark = pytest.mark.unit


def test_it_agrees_with_a_textbook() -> None:
    """R: wilcox.test(c(1, 4, 6), c(2, 3, 5), correct = FALSE, exact = FALSE), W = 5."""
    assert deviations([1, 4, 6], [2, 3, 5]) == pytest.approx(0.2182, abs=0.0001)
    assert deviations([2, 3, 5], [1, 4, 6]) == pytest.approx(-0.2182, abs=0.0001)


def test_samples_that_do_not_overlap_are_beyond_the_bound() -> None:
    assert deviations(range(15, 30), range(15)) > BOUND
    assert deviations(range(15), range(15, 30)) < -BOUND


def test_a_small_difference_shows_in_large_samples() -> None:
    drawn = random.Random(1)
    first = [drawn.gauss(10.0, 1.0) for _ in range(300)]
    second = [drawn.gauss(10.8, 1.0) for _ in range(300)]
    assert deviations(second, first) > BOUND


def test_two_samples_of_one_distribution_are_within_it() -> None:
    drawn = random.Random(2)
    samples = [[drawn.expovariate(1.0) for _ in range(15)] for _ in range(400)]
    pairs = zip(samples[::2], samples[1::2], strict=True)
    assert all(abs(deviations(*pair)) < BOUND for pair in pairs)


def test_values_that_are_all_the_same_differ_by_nothing() -> None:
    assert deviations([1, 1, 1], [1, 1]) == 0
