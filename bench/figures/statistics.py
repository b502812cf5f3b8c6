"""Percentiles, medians and slopes; None stands for "not measured"."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import median as _median


@dataclass(frozen=True, slots=True)
class Spread:
    """Two percentiles of some times, in milliseconds."""

    p50: float | None
    p99: float | None

    @classmethod
    def of(cls, times: Iterable[float]) -> "Spread":
        ordered = sorted(times)
        return cls(percentile(ordered, 50), percentile(ordered, 99))

    @classmethod
    def median(cls, spreads: Iterable["Spread"]) -> "Spread":
        spreads = list(spreads)
        return cls(median(one.p50 for one in spreads), median(one.p99 for one in spreads))

    def less(self, other: "Spread") -> "Spread":
        return Spread(difference(self.p50, other.p50), difference(self.p99, other.p99))


def percentile(ordered: Sequence[float], percent: float) -> float | None:
    """Nearest rank of an ascending sequence."""
    if not ordered:
        return None
    rank = math.ceil(percent / 100 * len(ordered))
    return ordered[max(rank, 1) - 1]


def median(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return _median(known) if known else None


def slope(xs: Sequence[float], ys: Sequence[float]) -> float:
    """Least-squares slope of ys over xs."""
    mean_x, mean_y = sum(xs) / len(xs), sum(ys) / len(ys)
    spread = sum((x - mean_x) ** 2 for x in xs)
    return sum((x - mean_x) * (y - mean_y) for x, y in zip(xs, ys, strict=True)) / spread


def ratio(one: float | None, other: float | None) -> float | None:
    return one / other if one is not None and other else None


def difference(one: float | None, other: float | None) -> float | None:
    return one - other if one is not None and other is not None else None
