"""Counters, gauges and histograms that cost a request next to nothing.

Adding to a child is one operation on a list or an attribute, which no other thread interrupts in
CPython. A family has MOST children at most: further label values are counted as OTHER.
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
    """Values by bound. `counts[i]`: values up to `bounds[i]`; the last: values above all bounds."""

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds, self.total = bounds, 0.0
        self.counts = [0] * (len(bounds) + 1)

    def observe(self, value: float, times: int = 1) -> None:
        self.counts[bisect_left(self.bounds, value)] += times
        self.total += value * times


class Family(Collector, Generic[Child]):
    """A named metric. `text` describes one figure of it, and its unit if the name does not."""

    def __init__(self, name: str, text: str, *labels: Label) -> None:
        if name in FAMILIES:
            raise ValueError(f"there are two metrics {name}")
        self.name, self.text, self.labels = name, text, labels
        self._children: dict[Values, Child] = {}
        FAMILIES[name] = self

    def of(self, *values: str) -> Child:
        """Returns the child to add to. Store it if the labels do not change."""
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
        return self._children.setdefault(known, self._new_child())

    def _new_child(self) -> Child:
        raise NotImplementedError

    def _metric(self, labels: list[str]) -> Metric:
        raise NotImplementedError

    def _add(self, metric: Any, values: Values, child: Child) -> None:
        metric.add_metric(values, child.value)  # type: ignore[attr-defined]


class Counter(Family[Count]):
    """A counter. One with few fixed label values has all its children from the start.

    Prometheus sees no increase in a figure that begins at 1, so the first failure of a process
    would raise no alert.
    """

    def __init__(self, name: str, text: str, *labels: Label) -> None:
        super().__init__(name, text, *labels)
        if prod(len(label.known) for label in labels) <= FEW:
            for values in product(*(label.known for label in labels)):
                self.of(*values)

    def _new_child(self) -> Count:
        return Count()

    def _metric(self, labels: list[str]) -> Metric:
        return CounterMetricFamily(self.name, self.text, labels=labels)


class Histogram(Family[Spread]):
    """A histogram. `bounds`: the upper bounds, ascending, without infinity."""

    def __init__(self, name: str, text: str, *labels: Label, bounds: Sequence[float]) -> None:
        super().__init__(name, text, *labels)
        self.bounds = tuple(bounds)
        self._upper = [_bound_text(bound) for bound in (*bounds, inf)]

    def _new_child(self) -> Spread:
        return Spread(self.bounds)

    def _metric(self, labels: list[str]) -> Metric:
        return HistogramMetricFamily(self.name, self.text, labels=labels)

    def _add(self, metric: Any, values: Values, child: Spread) -> None:
        so_far, buckets = 0, list[tuple[str, float]]()
        for bound, count in zip(self._upper, list(child.counts), strict=True):
            so_far += count
            buckets.append((bound, so_far))
        metric.add_metric(values, buckets, child.total)


def _bound_text(bound: float) -> str:
    return str(floatToGoString(bound))  # type: ignore[no-untyped-call]


class Gauge(Family[Count]):
    """A present value: set for all children at once, or read at each scrape."""

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
        """Sets the value of a gauge without labels."""
        self._figures = {(): value}

    def set_all(self, figures: Mapping[Values, float]) -> None:
        """Replaces all values."""
        self._figures = figures

    def forget(self) -> None:
        """Removes all values: no figure is better than an outdated one."""
        self._figures = {}

    def collect(self) -> Iterator[Metric]:
        metric = GaugeMetricFamily(
            self.name, self.text, labels=[label.name for label in self.labels]
        )
        figures = self._read() if self._read else self._figures
        for values, figure in list(figures.items())[:MOST]:
            words = zip(self.labels, values, strict=True)
            metric.add_metric([label.bounded(value) for label, value in words], figure)
        yield metric


FAMILIES: dict[str, Family[Any]] = {}
