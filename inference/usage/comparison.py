"""Figures of a time beside the time before it, with its first groups, in one scan of a roll-up.

A query for each would read the same rows again, of which a tenant with few requests an hour has one
for nearly each request. Latencies are left out: their histograms are most of what a row holds.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

from django.db import connection
from django.db.models import BooleanField, ExpressionWrapper, Q

from inference.usage.report import (
    SUMS,
    Dimension,
    Group,
    Period,
    UsageFigures,
    UsageReport,
    in_periods,
    names,
)
from inference.usage.time_range import TimeRange

_SUMMED = ", ".join(f"sum({name})::bigint as {name}" for name in SUMS)


@dataclass(frozen=True, slots=True)
class Comparison:
    """A point for each hour or day of both times, and the groups of the later one."""

    now: list[Period]
    before: list[Period]
    groups: dict[Dimension, list[Group]]


def compare(report: UsageReport, by: Sequence[Dimension], most: int) -> Comparison:
    """Returns the report's time beside the time before, and the first `most` groups by requests."""
    rows = _rows(report, by, most)
    return Comparison(
        _series(rows, report.span),
        _series(rows, report.span.before),
        {dimension: _groups(rows, dimension, report) for dimension in by},
    )


# The query ----------------------------------------------------------------------------------------
def _rows(report: UsageReport, by: Sequence[Dimension], most: int) -> list[dict[str, Any]]:
    """Returns a row for each hour or day, whose dimension is "", and one for each first group."""
    selected, values = _selected(report, by)
    with connection.cursor() as cursor:
        cursor.execute(_ranked(_grouped(selected, by)), [*values, most])
        columns = [column.name for column in cursor.description or ()]
        return [dict(zip(columns, row, strict=True)) for row in cursor.fetchall()]


def _selected(report: UsageReport, by: Sequence[Dimension]) -> tuple[str, Sequence[Any]]:
    """Returns SQL and its values for the rows of both times; `later` is true in the second one."""
    both = replace(report, span=replace(report.span, since=report.span.before.since))
    later = ExpressionWrapper(Q(starts__gte=report.span.since), output_field=BooleanField())
    columns = [dimension.column for dimension in by]
    rows = both.rows().annotate(period=report.span.period, later=later)
    sql, values = rows.values("period", "later", *columns, *SUMS).query.sql_with_params()
    return sql, values


def _grouped(selected: str, by: Sequence[Dimension]) -> str:
    sets = ", ".join(f"(later, {dimension.column})" for dimension in by)
    whens = " ".join(f"when grouping({each.column}) = 0 then '{each}'" for each in by)
    ids = ", ".join(f"{dimension.column}::text" for dimension in by)
    return f"""
        select case {whens} else '' end as dimension, coalesce({ids}) as id, period, later,
               {_SUMMED}
        from ({selected}) used group by grouping sets ((period), {sets})"""


def _ranked(grouped: str) -> str:
    """Returns SQL that leaves out groups of the time before, and those behind the first ones."""
    return f"""
        select * from (
            select *, row_number() over (
                partition by dimension order by requests desc, id) as position
            from ({grouped}) sums where dimension = '' or later
        ) ranked where dimension = '' or position <= %s order by dimension, position"""


# What it says -------------------------------------------------------------------------------------
def _series(rows: Sequence[Mapping[str, Any]], span: TimeRange) -> list[Period]:
    # PostgreSQL truncates in the zone, and returns a local time without it.
    zone = span.period.tzinfo
    sums = {
        row["period"].replace(tzinfo=zone): _figures(row) for row in rows if not row["dimension"]
    }
    return in_periods(span, sums)


def _groups(rows: Sequence[Mapping[str, Any]], by: Dimension, report: UsageReport) -> list[Group]:
    figures = {
        row["id"] if by.is_name else UUID(row["id"]): _figures(row)
        for row in rows
        if row["dimension"] == by
    }
    name_of = names(by, figures, report.tenant)
    return [Group(id_, name_of[id_], sums) for id_, sums in figures.items()]


def _figures(row: Mapping[str, Any]) -> UsageFigures:
    return UsageFigures(**{name: row[name] for name in SUMS})
