"""Intervals of 95 % by the percentile bootstrap over rows (Efron, 1979)."""

import random
from collections.abc import Callable, Sequence

from inference.evaluation.statistics import Interval

ROUNDS, FEWEST_ROUNDS, MOST_DRAWS = 1000, 200, 500_000
SEED = 1


def draws(count: int) -> list[list[int]]:
    """Returns for each round how often each row was drawn; the same for the same number."""
    generator = random.Random(SEED)  # noqa: S311 (statistics, no secret)
    rounds = max(FEWEST_ROUNDS, min(ROUNDS, MOST_DRAWS // max(1, count)))
    return [_draw(generator, count) for _ in range(rounds)]


def _draw(generator: random.Random, count: int) -> list[int]:
    counts = [0] * count
    for at in generator.choices(range(count), k=count):
        counts[at] += 1
    return counts


def interval(values: Sequence[float]) -> Interval:
    ordered, last = sorted(values), len(values) - 1
    return Interval(ordered[round(0.025 * last)], ordered[round(0.975 * last)])


def differences(
    ours: Callable[[list[int]], float], theirs: Callable[[list[int]], float], count: int
) -> Interval:
    """Returns the interval of a difference, with the same rows drawn for both."""
    return interval([ours(drawn) - theirs(drawn) for drawn in draws(count)])
