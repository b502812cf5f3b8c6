"""Drift: how far a distribution has moved from the one that a policy was evaluated on.

The population stability index sums (p - q) ln(p / q) over bins. Below 0.1 nothing has moved, above
0.25 much has (Siddiqi, 2006).

A distribution stays with a version, in clear. It holds no text but those that the policy's schema
names: all others are people's own words, and are counted by their hashes.
"""

import math
from collections import Counter
from collections.abc import Collection, Sequence
from hashlib import sha256
from typing import Any

import msgspec

BINS, MOST_WORDS = 10, 20
_LEAST = 1e-4  # share of an empty bin, whose logarithm would be endless


class Distribution(msgspec.Struct, frozen=True, omit_defaults=True):
    """Shares of bins. Numbers have `edges`; texts have `words`, or so many `hashes`.

    The share of missing values comes first, that of other values last.
    """

    shares: list[float]
    edges: list[float] = []
    words: list[str] = []
    hashes: int = 0


def distribution_of(values: Sequence[Any], named: Collection[Any] = ()) -> Distribution:
    """Returns ten bins with as many numbers each, the commonest of the texts that are `named`, or
    ten bins of any texts.
    """
    numbers = sorted(filter(_is_number, values))
    if numbers:
        cuts = {float(numbers[len(numbers) * at // BINS]) for at in range(1, BINS)}
        empty = Distribution([], edges=sorted(cuts))
    elif named:
        common = Counter(value for value in values if isinstance(value, str) and value in named)
        empty = Distribution([], words=[word for word, _count in common.most_common(MOST_WORDS)])
    else:
        empty = Distribution([], hashes=BINS)
    return msgspec.structs.replace(empty, shares=shares(empty, values))


def shares(reference: Distribution, values: Sequence[Any]) -> list[float]:
    """Returns the shares of other values in the same bins."""
    size = (len(reference.edges) or len(reference.words) or reference.hashes) + 2
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
    if reference.hashes:
        return 1 + int.from_bytes(sha256(value.encode()).digest()) % reference.hashes
    return 1 + reference.words.index(value) if value in reference.words else size - 1


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)
