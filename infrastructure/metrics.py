"""Metrics for operators: counters, gauges and histograms (docs/operations/metrics.md).

A family is defined in the module that counts. Code takes the child of its labels and adds to it:
plain numbers, without a lock. Prometheus' client only renders them at a scrape.

Adding to a child is one operation on a list or an attribute, which no other thread interrupts in
CPython. Text from clients never becomes a new value of a label, and a family has MOST children at
most: further label values are counted as OTHER.
"""

from bisect import bisect_left
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, product
from math import inf, prod
from typing import Any, Generic, TypeVar

from prometheus_client import CollectorRegistry, PlatformCollector, ProcessCollector
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

OTHER = "other"
NOTHING = ""  # Prometheus treats an empty label as absent
MOST = 2_000
FEW = 16
Child = TypeVar("Child")
Values = tuple[str, ...]  # of the labels, in their order


class _Anything:
    def __contains__(self, word: object) -> bool:
        return True


# For names from our own tables, of which there are few; the family's bound on children still holds.
ANY_OF_FEW = _Anything


@dataclass(frozen=True, slots=True)
class Label:
    """A label. `words` returns the allowed values, called when a value is new; any other becomes
    OTHER.

    `known` lists all values if they never change.
    """

    name: str
    words: Callable[[], Container[str]]
    known: tuple[str, ...] = ()

    @classmethod
    def of(cls, name: str, *words: str) -> "Label":
        allowed = frozenset(words)
        return cls(name, lambda: allowed, words)

    def bounded(self, value: str) -> str:
        return value if value == NOTHING or value in self.words() else OTHER


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

    _metric: Any  # as Prometheus' client renders it

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
        metric: Any = self._metric(self.name, self.text, labels=[each.name for each in self.labels])
        self._fill(metric)
        yield metric

    def _fill(self, metric: Any) -> None:
        """Add the present values to a metric of Prometheus' client."""
        raise NotImplementedError

    def _bounded(self, values: Values) -> Child:
        known = self._known(values)
        if len(self._children) >= MOST and known not in self._children:
            known = (OTHER,) * len(known)
        return self._children.setdefault(known, self._new_child())

    def _known(self, values: Values) -> Values:
        labels = zip(self.labels, values, strict=True)
        return tuple(label.bounded(value) for label, value in labels)

    def _new_child(self) -> Child:
        raise NotImplementedError


class Counter(Family[Count]):
    """A counter. One with few fixed label values has all its children from the start.

    Prometheus sees no increase in a figure that begins at 1, so the first failure of a process
    would raise no alert.
    """

    _metric = CounterMetricFamily

    def __init__(self, name: str, text: str, *labels: Label) -> None:
        super().__init__(name, text, *labels)
        if prod(len(label.known) for label in labels) <= FEW:
            for values in product(*(label.known for label in labels)):
                self.of(*values)

    def _new_child(self) -> Count:
        return Count()

    def _fill(self, metric: Any) -> None:
        for values, child in list(self._children.items()):
            metric.add_metric(values, child.value)


class Histogram(Family[Spread]):
    """A histogram. `bounds`: the upper bounds, ascending, without infinity."""

    _metric = HistogramMetricFamily

    def __init__(self, name: str, text: str, *labels: Label, bounds: Sequence[float]) -> None:
        super().__init__(name, text, *labels)
        self.bounds = tuple(bounds)

    def _new_child(self) -> Spread:
        return Spread(self.bounds)

    def _fill(self, metric: Any) -> None:
        upper: list[str] = [floatToGoString(bound) for bound in (*self.bounds, inf)]  # type: ignore[no-untyped-call]
        for values, child in list(self._children.items()):
            counts = accumulate(list(child.counts))
            metric.add_metric(values, list(zip(upper, counts, strict=True)), child.total)


class Gauge(Family[Count]):
    """A present value: set for all children at once, or read at each scrape."""

    _metric = GaugeMetricFamily

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

    def _fill(self, metric: Any) -> None:
        figures = self._read() if self._read else self._figures
        for values, figure in list(figures.items())[:MOST]:
            metric.add_metric(self._known(values), figure)


FAMILIES: dict[str, Family[Any]] = {}


def registry() -> CollectorRegistry:
    """Returns a registry of all families of this process, and of the process itself."""
    registry_ = CollectorRegistry(auto_describe=False)
    ProcessCollector(registry=registry_)
    PlatformCollector(registry=registry_)
    for family in list(FAMILIES.values()):
        registry_.register(family)
    return registry_
