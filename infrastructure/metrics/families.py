"""Counters, gauges and histograms that cost a request next to nothing.

Adding to a child is one operation on a list or an attribute: in CPython no other thread comes in
between. A family has MOST children at most: who would be one more is counted as OTHER.
"""

from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import product
from math import inf, prod
from typing import Any, Generic, TypeVar

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

from infrastructure.metrics.labels import OTHER, Label

MOST = 2_000
FEW = 16
Child = TypeVar("Child")
Values = tuple[str, ...]  # of the labels, in their order


class Count:
    __slots__ = ("value",)

    def __init__(self) -> None:
        self.value = 0


class Spread:
    """`counts`: how many were at most each bound; the last: how many were more than all."""

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds, self.total = bounds, 0.0
        self.counts = [0] * (len(bounds) + 1)

    def observe(self, value: float, times: int = 1) -> None:
        self.counts[bisect_left(self.bounds, value)] += times
        self.total += value * times


class Family(Collector, Generic[Child]):
    """`text` says what one figure of it is, and its unit where the name does not."""

    def __init__(self, name: str, text: str, *labels: Label) -> None:
        if name in FAMILIES:
            raise ValueError(f"there are two metrics {name}")
        self.name, self.text, self.labels = name, text, labels
        self._children: dict[Values, Child] = {}
        FAMILIES[name] = self

    def of(self, *values: str) -> Child:
        """The child to add to. Keep it where the labels do not change."""
        child = self._children.get(values)
        return self._bounded(values) if child is None else child

    def collect(self) -> Iterator[Metric]:
        metric: Any = self._metric([label.name for label in self.labels])
        for values, child in list(self._children.items()):
            self._add(metric, values, child)
        yield metric

    def _bounded(self, values: Values) -> Child:
        words = zip(self.labels, values, strict=True)
        known = tuple(label.bounded(value) for label, value in words)
        if len(self._children) >= MOST and known not in self._children:
            known = (OTHER,) * len(known)
        return self._children.setdefault(known, self._made())

    def _made(self) -> Child:
        raise NotImplementedError

    def _metric(self, labels: list[str]) -> Metric:
        raise NotImplementedError

    def _add(self, metric: Any, values: Values, child: Child) -> None:
        metric.add_metric(values, child.value)  # type: ignore[attr-defined]


class Counter(Family[Count]):
    """One with few children that never change has them from the start: of a figure that begins at 1
    Prometheus sees no increase, and the first failure of a process would wake nobody.
    """

    def __init__(self, name: str, text: str, *labels: Label) -> None:
        super().__init__(name, text, *labels)
        if prod(len(label.known) for label in labels) <= FEW:
            for values in product(*(label.known for label in labels)):
                self.of(*values)

    def _made(self) -> Count:
        return Count()

    def _metric(self, labels: list[str]) -> Metric:
        return CounterMetricFamily(self.name, self.text, labels=labels)


class Histogram(Family[Spread]):
    """`bounds`: the upper ones, ascending, without infinity."""

    def __init__(self, name: str, text: str, *labels: Label, bounds: Sequence[float]) -> None:
        super().__init__(name, text, *labels)
        self.bounds = tuple(bounds)
        self._upper = [_written(bound) for bound in (*bounds, inf)]

    def _made(self) -> Spread:
        return Spread(self.bounds)

    def _metric(self, labels: list[str]) -> Metric:
        return HistogramMetricFamily(self.name, self.text, labels=labels)

    def _add(self, metric: Any, values: Values, child: Spread) -> None:
        so_far, buckets = 0, list[tuple[str, float]]()
        for bound, count in zip(self._upper, list(child.counts), strict=True):
            so_far += count
            buckets.append((bound, so_far))
        metric.add_metric(values, buckets, child.total)


def _written(bound: float) -> str:
    return str(floatToGoString(bound))  # type: ignore[no-untyped-call]


class Gauge(Family[Count]):
    """What is so now: set by who knows it, all children at once, or read when somebody asks."""

    def __init__(
        self,
        name: str,
        text: str,
        *labels: Label,
        read: Callable[[], Mapping[Values, float]] | None = None,
    ) -> None:
        super().__init__(name, text, *labels)
        self._read = read
        self._figures: Mapping[Values, float] = {}

    def set(self, value: float) -> None:
        """Of one without labels."""
        self._figures = {(): value}

    def set_all(self, figures: Mapping[Values, float]) -> None:
        """In place of all that was known."""
        self._figures = figures

    def forget(self) -> None:
        """Nobody knows any more: better no figure than one of before."""
        self._figures = {}

    def collect(self) -> Iterator[Metric]:
        metric = GaugeMetricFamily(self.name, self.text, labels=[each.name for each in self.labels])
        figures = self._read() if self._read else self._figures
        for values, figure in list(figures.items())[:MOST]:
            words = zip(self.labels, values, strict=True)
            metric.add_metric([label.bounded(value) for label, value in words], figure)
        yield metric


FAMILIES: dict[str, Family[Any]] = {}
