"""The overview's part with trends: a day, a week or a month beside the same time before it.

It is read from roll-ups (inference/usage/), never from a row per request.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from django.http import HttpResponse
from django.shortcuts import render, resolve_url
from django.utils import timezone
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from console.authorization import ConsoleRequest, twin_pages
from console.usage.log_links import LogLinks, log_of, log_of_each, log_of_group
from console.usage.trend_chart import Chart
from console.usage.usage_filter import RANGES, WEEK
from inference.usage.comparison import Comparison, compare
from inference.usage.report import Dimension, Group, Period, UsageFigures, UsageReport
from inference.usage.time_range import TimeRange
from tenants.models import Tenant
from tenants.roles import Permission

Figure = Callable[[UsageFigures], int]
SPANS = ("24h", WEEK, "30d")
TOP = 5
_TABLES = (
    (Dimension.MODEL, _("Models")),
    (Dimension.KEY, _("API keys")),
    (Dimension.MEMBER, _("People")),
)


@dataclass(frozen=True, slots=True)
class Trend:
    """A figure and what it was before. `change` is in percent; None: there was nothing before."""

    name: str
    label: Promise
    now: int
    before: int
    url: str
    chart: Chart

    @property
    def change(self) -> int | None:
        return round((self.now - self.before) * 100 / self.before) if self.before else None


@dataclass(frozen=True, slots=True)
class Line:
    group: Group
    log: LogLinks
    percent: int  # of all requests


@dataclass(frozen=True, slots=True)
class Table:
    label: Promise
    lines: list[Line]


def context(tenant: Tenant | None, name: str) -> dict[str, Any]:
    """Returns what the template shows of a span of SPANS."""
    span = RANGES[name][1](_zone(tenant, name))
    report = UsageReport(tenant, span, {})
    dimensions: tuple[tuple[Dimension, Promise], ...] = _TABLES
    if tenant is None:
        dimensions = ((Dimension.TENANT, _("Tenants")), _TABLES[0])
    both = compare(report, [by for by, _label in dimensions], TOP)
    trends = _trends(report, both)
    return {
        "span": name,
        "trends_url": _url(tenant),
        "spans": [(each, RANGES[each][0]) for each in SPANS],
        "trends": trends,
        "hourly": span.hourly,
        "zone": span.zone_name,
        "periods": list(zip(*(trend.chart.columns for trend in trends), strict=True)),
        "tables": [
            Table(label, _lines(report, by, both.groups[by], trends[0].now))
            for by, label in dimensions
        ],
    }


def _zone(tenant: Tenant | None, name: str) -> str:
    """Returns whose hours or days it has: hours are the reader's, as all times of a page are.

    Days are the tenant's, as those of its quotas and bills. The roll-ups over all tenants have
    days of UTC alone.
    """
    if name == "24h":
        return timezone.get_current_timezone_name()
    return tenant.time_zone if tenant else "UTC"


def _url(tenant: Tenant | None) -> str:
    if tenant:
        return resolve_url("console:trends", tenant=tenant.name)
    return resolve_url("console:platform_trends")


def _trends(report: UsageReport, both: Comparison) -> list[Trend]:
    log, now = log_of(report), both.now
    labels = [_label(report.span, period) for period in now]
    links = log_of_each(report, now)
    all_of_it, failed = [link.all for link in links], [link.failed for link in links]

    def trend(name: str, label: Promise, figure: Figure, url: str, urls: list[str]) -> Trend:
        values, earlier = _values(now, figure), _values(both.before, figure)
        chart = Chart.of(labels, values, earlier, urls)
        return Trend(name, label, sum(values), sum(earlier), url, chart)

    return [
        trend("requests", _("Requests"), lambda f: f.requests, log.all, all_of_it),
        trend("tokens", _("Tokens"), _tokens, log.all, all_of_it),
        trend("cost", _("Cost"), lambda f: f.cost, log.all, all_of_it),
        trend("errors", _("Errors"), lambda f: f.errors, log.failed, failed),
    ]


def _values(series: list[Period], figure: Figure) -> list[int]:
    return [figure(period.figures) for period in series]


def _label(span: TimeRange, period: Period) -> str:
    return period.begins.astimezone(span.zone).strftime("%m-%d %H:%M" if span.hourly else "%m-%d")


def _tokens(figures: UsageFigures) -> int:
    return figures.prompt_tokens + figures.completion_tokens


def _lines(report: UsageReport, by: Dimension, groups: list[Group], requests: int) -> list[Line]:
    most = max(1, requests)
    return [
        Line(group, log_of_group(report, by, group), round(group.figures.requests * 100 / most))
        for group in groups
    ]


def _part(request: ConsoleRequest) -> HttpResponse:
    name = request.GET.get("range", WEEK)
    shown = context(request.tenant, name if name in SPANS else WEEK)
    return render(request, "console/overview/_trends_part.html", shown)


trends, platform_trends = twin_pages(Permission.VIEW_USAGE, _part)
