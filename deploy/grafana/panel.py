"""What a dashboard shows: panels and their questions to Prometheus.

Of it both are made, what Grafana reads (board.py) and the pictures in the docs (picture.py).
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum

GOOD, WARN, BAD = "green", "orange", "red"
WINDOW = "$__rate_interval"  # Grafana's: four scrapes at least


class Kind(StrEnum):
    LINES = "timeseries"
    AREAS = "areas"  # lines above each other, for parts of a whole
    NUMBER = "stat"
    BARS = "bargauge"


@dataclass(frozen=True, slots=True)
class Query:
    """`legend` with {{label}} for the values of labels, as Grafana has it."""

    expr: str
    legend: str = ""


@dataclass(frozen=True, slots=True)
class Panel:
    """`unit`: one of Grafana's, or `suffix: …`. `needs`: what has to be there before it has data,
    for panels that stay empty without; "" where any running Forebay fills it. `limits`: from each
    value on it has that colour. `span`: of 24 columns.
    """

    title: str
    unit: str
    text: str
    queries: tuple[Query, ...]
    kind: Kind = Kind.LINES
    needs: str = ""
    limits: tuple[tuple[float, str], ...] = ()
    span: int = 8
    most: float | None = None


@dataclass(frozen=True, slots=True)
class Variable:
    """One to choose above the panels: the values of `label` that `metric` has, or `every`."""

    label: str
    text: str
    metric: str
    every: str = ".*"  # also series without the label

    @property
    def query(self) -> str:
        return f"label_values({self.metric}, {self.label})"


@dataclass(frozen=True, slots=True)
class Row:
    title: str
    panels: tuple[Panel, ...]


@dataclass(frozen=True, slots=True)
class Dashboard:
    """`name`: of its file, and of its address in Grafana. `text` says which question it answers."""

    name: str
    title: str
    text: str
    rows: tuple[Row, ...]
    variables: tuple[Variable, ...] = field(default=())

    @property
    def uid(self) -> str:
        return f"forebay-{self.name}"

    @property
    def panels(self) -> Iterator[Panel]:
        for row in self.rows:
            yield from row.panels


def number(title: str, unit: str, text: str, expr: str, **rest: object) -> Panel:
    """One figure, six in a row."""
    shape = {"kind": Kind.NUMBER, "span": 4, **rest}
    return Panel(title, unit, text, (Query(expr),), **shape)  # type: ignore[arg-type]  # fields of Panel


def share(part: str, whole: str) -> str:
    """Nothing instead of 0/0 while nobody asks."""
    return f"{part} / ({whole} > 0)"


def rate(metric: str, by: str = "", where: str = "") -> str:
    """Per second. `by` and `where` as PromQL has them between its brackets."""
    grouped = f" by ({by})" if by else ""
    selected = f"{{{where}}}" if where else ""
    return f"sum{grouped}(rate({metric}{selected}[{WINDOW}]))"


def quantile(of: float, metric: str, by: str = "", where: str = "") -> str:
    """Of a histogram. `of` from 0 to 1."""
    labels = ", ".join(["le", *([by] if by else [])])
    return f"histogram_quantile({of:g}, {rate(f'{metric}_bucket', labels, where)})"


def quantiles(metric: str, where: str = "") -> tuple[Query, ...]:
    return tuple(
        Query(quantile(of, metric, where=where), f"P{of * 100:g}") for of in (0.5, 0.95, 0.99)
    )


def latest(metric: str, by: str, where: str = "") -> str:
    """Of figures of the whole platform, which each process of jobs exports: take the max."""
    return f"max by ({by})({metric}{{{where}}})" if where else f"max by ({by})({metric})"
