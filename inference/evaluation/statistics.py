"""Confidence intervals of 95 % for the figures of an evaluation.

Proportions: E. B. Wilson, "Probable inference, the law of succession, and statistical inference",
JASA 22 (1927). Their differences: R. G. Newcombe, "Interval estimation for the difference between
independent proportions", Statistics in Medicine 17 (1998), method 10. Ratios and differences over
the same items: the percentile bootstrap over items, B. Efron, "Bootstrap methods: another look at
the jackknife", Annals of Statistics 7 (1979).
"""

import random
from collections.abc import Callable, Sequence
from math import sqrt
from typing import NamedTuple

Z = 1.959963984540054  # of 95 %, two-sided
ROUNDS, FEWEST_ROUNDS, MOST_DRAWS = 1000, 200, 2_000_000
SEED = 1


class Interval(NamedTuple):
    low: float
    high: float


Pair = tuple[float, float]  # a numerator and its denominator


def wilson(successes: float, count: int) -> Interval:
    """Returns Wilson's score interval of a proportion."""
    if not count:
        return Interval(0.0, 1.0)
    share, square = successes / count, Z * Z
    centre = (share + square / (2 * count)) / (1 + square / count)
    half = Z * sqrt(share * (1 - share) / count + square / (4 * count * count))
    half /= 1 + square / count
    return Interval(max(0.0, centre - half), min(1.0, centre + half))


def wilson_difference(ours: tuple[int, int], theirs: tuple[int, int]) -> Interval:
    """Returns the interval of ours minus theirs, each the successes and the count of a sample."""
    (low, high), share = wilson(*ours), ours[0] / max(1, ours[1])
    (other_low, other_high), other = wilson(*theirs), theirs[0] / max(1, theirs[1])
    below = sqrt((share - low) ** 2 + (other_high - other) ** 2)
    above = sqrt((high - share) ** 2 + (other - other_low) ** 2)
    return Interval(max(-1.0, share - other - below), min(1.0, share - other + above))


def bootstrap(pairs: Sequence[Pair], figure: Callable[[float], float]) -> Interval:
    """Returns the interval of `figure` of a ratio of sums, items drawn with replacement."""
    return _percentiles([figure(_ratio(pairs, drawn)) for drawn in _draws(len(pairs))])


def bootstrap_difference(
    ours: Sequence[Pair], theirs: Sequence[Pair], figure: Callable[[float, float], float]
) -> Interval:
    """Returns the interval of `figure` of two ratios over the same items, drawn together."""
    draws = _draws(len(ours))
    return _percentiles([figure(_ratio(ours, d), _ratio(theirs, d)) for d in draws])


def _draws(count: int) -> list[list[int]]:
    """Returns the indexes of each round, the same for the same number of items."""
    generator = random.Random(SEED)  # noqa: S311 (statistics, no secret)
    rounds = max(FEWEST_ROUNDS, min(ROUNDS, MOST_DRAWS // max(1, count)))
    return [generator.choices(range(count), k=count) for _ in range(rounds)] if count else []


def _ratio(pairs: Sequence[Pair], drawn: Sequence[int]) -> float:
    below = sum(pairs[i][1] for i in drawn)
    return sum(pairs[i][0] for i in drawn) / below if below else 0.0


def _percentiles(values: list[float]) -> Interval:
    if not values:
        return Interval(0.0, 0.0)
    ordered, last = sorted(values), len(values) - 1
    return Interval(ordered[round(0.025 * last)], ordered[round(0.975 * last)])
