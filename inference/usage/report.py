"""Queries of usage pages, exports and the management API. They read only roll-ups."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields
from datetime import datetime
from functools import reduce
from operator import add
from typing import Any

from django.db.models import F, Sum

from inference.models import RollupMark
from inference.models.rollup import RollupQuerySet
from inference.usage.histogram import Histogram
from inference.usage.names import Dimension, Id, Name, names
from inference.usage.time_range import TimeRange
from tenants.models import Tenant

MOST_GROUPS = 100  # on a page; an export has them all


@dataclass(frozen=True, slots=True)
class Figures:
    """Cost in micro-units of the currency. Cached tokens are part of the prompt's."""

    requests: int = 0
    prompt_tokens: int = 0
    cached_tokens: int = 0
    completion_tokens: int = 0
    cost: int = 0
    hosted: int = 0  # requests that left this installation, and their part of the cost
    hosted_cost: int = 0
    cancelled: int = 0
    errors_client: int = 0
    errors_engine: int = 0
    errors_platform: int = 0
    ttft: Histogram = field(default_factory=Histogram)
    inter_token: Histogram = field(default_factory=Histogram)
    queue_wait: Histogram = field(default_factory=Histogram)

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> "Figures":
        sums: dict[str, Any] = {name: row[f"sum_{name}"] or 0 for name in SUMS}
        latencies = {name: Histogram.unpacked(row[f"sum_{name}"]) for name in LATENCIES}
        return cls(**(sums | latencies))

    def __add__(self, other: "Figures") -> "Figures":
        return Figures(*(getattr(self, name) + getattr(other, name) for name in _NAMES))

    @property
    def errors(self) -> int:
        return self.errors_client + self.errors_engine + self.errors_platform


_NAMES = tuple(f.name for f in fields(Figures))
LATENCIES = ("ttft", "inter_token", "queue_wait")
SUMS = tuple(name for name in _NAMES if name not in LATENCIES)
_SUMMED = {f"sum_{name}": Sum(name) for name in _NAMES}
SORTS: dict[str, Any] = {name: F(f"sum_{name}") for name in SUMS} | {
    "errors": F("sum_errors_client") + F("sum_errors_engine") + F("sum_errors_platform")
}


@dataclass(frozen=True, slots=True)
class Group:
    """One team, member, key, model or tenant, and its usage."""

    id: Id
    name: Name
    figures: Figures


@dataclass(frozen=True, slots=True)
class Period:
    begins: datetime
    figures: Figures


@dataclass(frozen=True)
class Report:
    """Usage of one tenant, or of all (None), filtered by one id of each dimension in `where`."""

    tenant: Tenant | None
    span: TimeRange
    where: Mapping[Dimension, Id] = field(default_factory=dict)

    def series(self) -> list[Period]:
        """Returns a point for each hour or day of the span, also without usage."""
        summed = self._rows().annotate(period=self.span.period).values("period")
        by_period = {row["period"]: Figures.of(row) for row in summed.annotate(**_SUMMED)}
        periods = self.span.periods()
        return [Period(begin, by_period.get(begin, Figures())) for begin, _end in periods]

    def totals(self) -> Figures:
        return Figures.of(self._rows().aggregate(**_SUMMED))

    def groups(self, by: Dimension, sort: str = "requests", most: int = MOST_GROUPS) -> list[Group]:
        """Returns the first `most`, highest first. `sort` is a key of SORTS."""
        summed = self._rows().values(by.column).annotate(**_SUMMED)
        return self._named(by, summed.order_by(SORTS[sort].desc(), by.column)[:most])

    def groups_by_period(self, by: Dimension) -> Iterator[tuple[datetime, list[Group]]]:
        """Yields periods, each by a query of its own, so that memory holds one at a time."""
        for begin, end in self.span.periods():
            rows = self._rows().between(begin, end)
            summed = rows.values(by.column).annotate(**_SUMMED)
            yield begin, self._named(by, summed.order_by(by.column))

    def _rows(self) -> RollupQuerySet:
        where = {dimension.column: id_ for dimension, id_ in self.where.items()}
        rows = self.span.rollup.objects.of(self.tenant)
        return rows.between(self.span.since, self.span.until).filter(**where)

    def _named(self, by: Dimension, rows: Iterable[Mapping[str, Any]]) -> list[Group]:
        figures = {row[by.column]: Figures.of(row) for row in rows}
        name_of = names(by, figures, self.tenant)
        return [Group(id_, name_of[id_], group_figures) for id_, group_figures in figures.items()]


def total(series: Iterable[Period]) -> Figures:
    return reduce(add, (period.figures for period in series), Figures())


def as_of() -> datetime | None:
    """Returns the time of the last roll-up; None before the first."""
    return RollupMark.objects.values_list("at", flat=True).first()
