"""Drift: how far a distribution has moved from the one that a policy was evaluated on.

The population stability index sums (p - q) ln(p / q) over bins. Below 0.1 nothing has moved, above
0.25 much has (Siddiqi, 2006).
"""

import math
from collections import Counter
from collections.abc import Sequence
from typing import Any

import msgspec

BINS, MOST_WORDS = 10, 20
OTHER, MISSING = "\x00other", "\x00missing"
_LEAST = 1e-4  # share of an empty bin, whose logarithm would be endless


class Distribution(msgspec.Struct, frozen=True, omit_defaults=True):
    """Shares of bins. Numbers have `edges`; texts have `words`; the last share is the rest's.

    The share of missing values comes first.
    """

    shares: list[float]
    edges: list[float] = []
    words: list[str] = []


def distribution_of(values: Sequence[Any]) -> Distribution:
    """Returns ten bins with as many numbers each, or the commonest texts."""
    numbers = sorted(filter(_is_number, values))
    if numbers:
        cuts = {float(numbers[len(numbers) * at // BINS]) for at in range(1, BINS)}
        empty = Distribution([], edges=sorted(cuts))
    else:
        common = Counter(value for value in values if isinstance(value, str))
        empty = Distribution([], words=[word for word, _count in common.most_common(MOST_WORDS)])
    return msgspec.structs.replace(empty, shares=shares(empty, values))


def shares(reference: Distribution, values: Sequence[Any]) -> list[float]:
    """Returns the shares of other values in the same bins."""
    size = (len(reference.edges) or len(reference.words)) + 2
    counts = [0] * size
    for value in values:
        counts[_bin(reference, value, size)] += 1
    return [count / max(1, len(values)) for count in counts]


def stability_index(reference: Distribution, values: Sequence[Any]) -> float:
    """Returns the population stability index of values against a distribution."""
    pairs = zip(reference.shares, shares(reference, values), strict=True)
    smoothed = ((max(p, _LEAST), max(q, _LEAST)) for p, q in pairs)
    return sum((q - p) * math.log(q / p) for p, q in smoothed)


def _bin(reference: Distribution, value: Any, size: int) -> int:
    if reference.edges:
        if not _is_number(value):
            return 0
        return 1 + sum(bool(value >= edge) for edge in reference.edges)
    if not isinstance(value, str):
        return 0
    return 1 + reference.words.index(value) if value in reference.words else size - 1


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)
