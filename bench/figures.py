"""Statistics, aims, tables and progress; None stands for "not measured"."""

import math
import statistics
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

T = TypeVar("T")


@dataclass(slots=True)
class Aim:
    """A figure with its limit; `met` is None where it was not measured."""

    text: str
    value: float | None
    unit: str
    limit: float
    at_least: bool = False

    @property
    def met(self) -> bool | None:
        if self.value is None:
            return None
        return self.value >= self.limit if self.at_least else self.value <= self.limit


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

    def __str__(self) -> str:
        return pair(self.p50, self.p99)


def percentile(ordered: Sequence[float], percent: float) -> float | None:
    """Nearest rank of an ascending sequence."""
    if not ordered:
        return None
    rank = math.ceil(percent / 100 * len(ordered))
    return ordered[max(rank, 1) - 1]


def median(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return statistics.median(known) if known else None


def ratio(one: float | None, other: float | None) -> float | None:
    return one / other if one is not None and other else None


def difference(one: float | None, other: float | None) -> float | None:
    return one - other if one is not None and other is not None else None


def cell(value: float | None) -> str:
    """Three significant figures, thousands with a comma."""
    if value is None:
        return ""
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def pair(one: float | None, other: float | None) -> str:
    return f"{cell(one)} / {cell(other)}" if one is not None or other is not None else ""


def table(head: Sequence[str], body: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *body]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def table_of(columns: Mapping[str, Callable[[T], str]], rows: Iterable[T]) -> str:
    """A line for each row; `columns` have a function that makes its cell."""
    return table(list(columns), ([of(row) for of in columns.values()] for row in rows))


def paragraphs(*texts: str) -> str:
    return "\n\n".join(filter(None, texts))


def complaints(lines: Iterable[str]) -> str:
    """The beginnings of bad answers as a list; empty where all were good."""
    return "\n".join(f"* `{line}`" for line in sorted(set(lines)))


def tell(text: object) -> None:
    """Report progress on the error output: tables alone go to the standard output."""
    print(f"bench: {text}", file=sys.stderr, flush=True)
