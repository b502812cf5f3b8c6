"""Queries of usage pages, exports and the management API. They read only roll-ups."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime
from enum import StrEnum
from functools import reduce
from operator import add
from typing import Any, cast
from uuid import UUID

from django.db.models import Case, F, QuerySet, Sum, Value, When
from django.db.models.functions import Concat
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from inference.models import RollupMark
from inference.models.rollup import NOBODY, RollupQuerySet
from inference.usage.histogram import Histogram
from inference.usage.time_range import TimeRange
from tenants.models import ApiKey, Member, Team, Tenant


class Dimension(StrEnum):
    """The dimensions that usage is grouped and filtered by."""

    TENANT = "tenant"
    TEAM = "team"
    MEMBER = "member"
    KEY = "key"
    MODEL = "model"
    ADAPTER = "adapter"  # of a tenant, as requests name it: BASE:NAME

    @property
    def column(self) -> str:
        columns = {"model": "model", "key": "api_key_id", "adapter": "adapter_name"}
        return columns.get(self, f"{self}_id")

    @property
    def is_name(self) -> bool:
        """Returns whether its ids are names."""
        return self in (Dimension.MODEL, Dimension.ADAPTER)


@dataclass(frozen=True, slots=True)
class Name:
    text: str
    former: bool = False  # revoked, removed, dissolved


Id = UUID | str
NO_ADAPTER = "none"  # has no colon, so it is no adapter
_ADAPTER_NAME = Case(
    When(adapter="", then=Value(NO_ADAPTER)), default=Concat("model", Value(":"), "adapter")
)
_NONE: dict[Dimension, Promise] = {
    Dimension.ADAPTER: gettext_lazy("no adapter"),
    Dimension.TEAM: gettext_lazy("no team"),
    Dimension.MEMBER: gettext_lazy("no member"),
    Dimension.KEY: gettext_lazy("no key"),
}


def names(dimension: Dimension, ids: Iterable[Id], tenant: Tenant | None) -> dict[Id, Name]:
    """Returns a name for every id, with the tenant's name over all tenants (None)."""
    if dimension.is_name:
        return {id_: Name(_text(dimension, id_)) for id_ in ids}
    unique_ids = set(ids)
    by_id = {row.pk: _name(row, tenant) for row in _rows(dimension, unique_ids - {NOBODY}, tenant)}
    return {id_: by_id.get(id_) or _unknown(dimension, id_) for id_ in unique_ids}


def _text(dimension: Dimension, id_: Id) -> str:
    is_none = dimension == Dimension.ADAPTER and id_ == NO_ADAPTER
    return str(_NONE[dimension] if is_none else id_)


def _rows(dimension: Dimension, ids: set[Id], tenant: Tenant | None) -> QuerySet[Any]:
    if dimension == Dimension.TENANT:
        return Tenant.objects.filter(pk__in=ids)
    rows: dict[Dimension, QuerySet[Any]] = {
        Dimension.TEAM: Team.objects.select_related("tenant"),
        Dimension.MEMBER: Member.objects.select_related("tenant", "user"),
        Dimension.KEY: ApiKey.objects.select_related("tenant"),
    }
    matching = rows[dimension].filter(pk__in=ids)
    return matching.filter(tenant=tenant) if tenant else matching


def _name(row: Tenant | Team | Member | ApiKey, tenant: Tenant | None) -> Name:
    text = row.user.email if isinstance(row, Member) else row.name
    if tenant is None and not isinstance(row, Tenant):
        text = f"{text} · {row.tenant.name}"
    return Name(text, former=isinstance(row, ApiKey) and row.revoked_at is not None)


def _unknown(dimension: Dimension, id_: Id) -> Name:
    if id_ == NOBODY:
        return Name(str(_NONE[dimension]))
    return Name(_("former %(id)s") % {"id": str(id_)[:8]}, former=True)


MOST_GROUPS = 100  # on a page; an export has them all


@dataclass(frozen=True, slots=True)
class UsageFigures:
    """Cost in micro-units of the currency. Cached tokens are part of the prompt's."""

    requests: int = 0
    prompt_tokens: int = 0
    cached_tokens: int = 0
    completion_tokens: int = 0
    cost: int = 0
    millijoules: int = 0  # of requests whose energy was measured
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
    def of(cls, row: Mapping[str, Any]) -> "UsageFigures":
        sums: dict[str, Any] = {name: row[f"sum_{name}"] or 0 for name in SUMS}
        latencies = {name: Histogram.unpacked(row[f"sum_{name}"]) for name in LATENCIES}
        return cls(**(sums | latencies))

    def __add__(self, other: "UsageFigures") -> "UsageFigures":
        return UsageFigures(*(getattr(self, name) + getattr(other, name) for name in _NAMES))

    @property
    def errors(self) -> int:
        return self.errors_client + self.errors_engine + self.errors_platform


_NAMES = tuple(f.name for f in fields(UsageFigures))
LATENCIES = ("ttft", "inter_token", "queue_wait")
SUMS = tuple(name for name in _NAMES if name not in LATENCIES)
_SUMMED = {f"sum_{name}": Sum(name) for name in _NAMES}
SORTS: dict[str, Any] = {name: F(f"sum_{name}") for name in SUMS} | {
    "errors": F("sum_errors_client") + F("sum_errors_engine") + F("sum_errors_platform")
}


@dataclass(frozen=True, slots=True)
class Group:
    """One team, member, key, model, adapter or tenant, and its usage."""

    id: Id
    name: Name
    figures: UsageFigures


@dataclass(frozen=True, slots=True)
class Period:
    begins: datetime
    figures: UsageFigures


def in_periods(span: TimeRange, sums: Mapping[datetime, UsageFigures]) -> list[Period]:
    """Returns a point for each hour or day of the span, also without sums.

    `sums` are by local times. Python holds no time at which the clocks change equal to one of
    another zone, so that they are looked up in UTC.
    """
    by_begin = {begin.astimezone(UTC): figures for begin, figures in sums.items()}
    return [Period(begin, by_begin.get(begin, UsageFigures())) for begin, _end in span.periods()]


@dataclass(frozen=True)
class UsageReport:
    """Usage of one tenant, or of all (None), filtered by one id of each dimension in `where`."""

    tenant: Tenant | None
    span: TimeRange
    where: Mapping[Dimension, Id] = field(default_factory=dict)

    def series(self) -> list[Period]:
        """Returns a point for each hour or day of the span, also without usage."""
        summed = self.rows().annotate(period=self.span.period).values("period")
        rows = summed.annotate(**_SUMMED)
        return in_periods(self.span, {row["period"]: UsageFigures.of(row) for row in rows})

    def totals(self) -> UsageFigures:
        return UsageFigures.of(self.rows().aggregate(**_SUMMED))

    def groups(self, by: Dimension, sort: str = "requests", most: int = MOST_GROUPS) -> list[Group]:
        """Returns the first `most`, highest first. `sort` is a key of SORTS."""
        summed = self.rows().values(by.column).annotate(**_SUMMED)
        return self._named(by, summed.order_by(SORTS[sort].desc(), by.column)[:most])

    def groups_by_period(self, by: Dimension) -> Iterator[tuple[datetime, list[Group]]]:
        """Yields periods, each by a query of its own, so that memory holds one at a time."""
        for begin, end in self.span.periods():
            rows = self.rows().between(begin, end)
            summed = rows.values(by.column).annotate(**_SUMMED)
            yield begin, self._named(by, summed.order_by(by.column))

    def rows(self) -> RollupQuerySet:
        where = {dimension.column: id_ for dimension, id_ in self.where.items()}
        rows = self.span.rollup.objects.of(self.tenant).between(self.span.since, self.span.until)
        return cast(RollupQuerySet, rows.annotate(adapter_name=_ADAPTER_NAME).filter(**where))

    def _named(self, by: Dimension, rows: Iterable[Mapping[str, Any]]) -> list[Group]:
        figures = {row[by.column]: UsageFigures.of(row) for row in rows}
        name_of = names(by, figures, self.tenant)
        return [Group(id_, name_of[id_], group_figures) for id_, group_figures in figures.items()]


def total(series: Iterable[Period]) -> UsageFigures:
    return reduce(add, (period.figures for period in series), UsageFigures())


def as_of() -> datetime | None:
    """Returns the time of the last roll-up; None before the first."""
    return RollupMark.objects.values_list("at", flat=True).first()
