"""Addresses of the request log: what a figure or a chart counts, as rows.

Usage counts a request when it is settled, the log has it from its receipt on: at the edges of a
range the two may differ by the requests that were running.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, NamedTuple
from urllib.parse import urlencode

from django.shortcuts import resolve_url

from inference.models import State
from inference.models.rollup import NOBODY
from inference.usage.report import NO_ADAPTER, Dimension, Group, Id, Period, UsageReport

_FILTERS: dict[Dimension, str] = {  # of the log, by dimension
    Dimension.TEAM: "team",
    Dimension.MEMBER: "member",
    Dimension.KEY: "key",
    Dimension.MODEL: "model",
    Dimension.ADAPTER: "model",
}


class LogLinks(NamedTuple):
    """Addresses of the requests behind a line of figures; "" where the log has no such filter."""

    all: str
    failed: str
    cancelled: str


NO_LINKS = LogLinks("", "", "")


def log_url(tenant: str | None, **filters: Any) -> str:
    """Returns the address of the log with these filters, of a tenant or of all.

    Moments are exact to the minute there.
    """
    page = resolve_url("console:requests", tenant=tenant) if tenant else None
    values = {name: _written(value) for name, value in filters.items() if value}
    query = f"?{urlencode(values)}" if values else ""
    return f"{page or resolve_url('console:all_requests')}{query}"


def log_of(report: UsageReport) -> LogLinks:
    """Returns the requests of a whole report."""
    return _links(report, report.where, report.span.since, report.span.until)


def log_of_each(report: UsageReport, series: list[Period]) -> list[LogLinks]:
    """Returns the requests of each hour or day of a report."""
    ends = dict(report.span.periods())
    usual = timedelta(hours=1 if report.span.hourly else 24)
    return [
        _links(report, report.where, period.begins, ends.get(period.begins, period.begins + usual))
        for period in series
    ]


def log_of_group(report: UsageReport, by: Dimension, group: Group) -> LogLinks:
    """Returns the requests of one group of a report."""
    span = report.span
    if by == Dimension.TENANT:
        others: dict[Dimension, Id] = {d: id_ for d, id_ in report.where.items() if d != by}
        return _links(report, others, span.since, span.until, tenant=group.name.text)
    conditions: dict[Dimension, Id] = {**report.where, by: group.id}
    return _links(report, conditions, span.since, span.until)


def _links(
    report: UsageReport,
    where: Mapping[Dimension, Id],
    since: datetime,
    until: datetime,
    tenant: str = "",
) -> LogLinks:
    if not where.keys() <= _FILTERS.keys() or {NOBODY, NO_ADAPTER} & set(where.values()):
        return NO_LINKS
    filters = {_FILTERS[dimension]: id_ for dimension, id_ in where.items()}
    owner = tenant or (report.tenant.name if report.tenant else None)
    states = ("", State.FAILED.value, State.CANCELLED.value)
    urls = [log_url(owner, **filters, since=since, until=until, state=state) for state in states]
    return LogLinks(*urls)


def _written(value: Any) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)
