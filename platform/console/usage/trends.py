"""The overview's part with trends: a day, a week or a month beside the same time before it.

It is read from roll-ups (inference/usage/), never from a row per request.
"""

from dataclasses import dataclass, replace
from typing import Any

from django.http import HttpResponse
from django.shortcuts import render, resolve_url
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from console.authorization import ConsoleRequest, twin_pages
from console.usage.log_links import LogLinks, log_of, log_of_group
from console.usage.usage_filter import RANGES, WEEK
from inference.usage.report import Dimension, Group, UsageFigures, UsageReport
from inference.usage.time_range import TimeRange
from tenants.models import Tenant
from tenants.roles import Permission

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
    url: str = ""

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
    span = RANGES[name][1](tenant.time_zone if tenant else "UTC")
    report = UsageReport(tenant, span, {})
    now, before = report.totals(), replace(report, span=_before(span)).totals()
    dimensions = _TABLES if tenant else ((Dimension.TENANT, _("Tenants")), _TABLES[0])
    return {
        "span": name,
        "trends_url": _url(tenant),
        "spans": [(each, RANGES[each][0]) for each in SPANS],
        "trends": _trends(report, now, before),
        "tables": [Table(label, _lines(report, by, now)) for by, label in dimensions],
    }


def _url(tenant: Tenant | None) -> str:
    if tenant:
        return resolve_url("console:trends", tenant=tenant.name)
    return resolve_url("console:platform_trends")


def _before(span: TimeRange) -> TimeRange:
    """Returns the time of the same length that ends where the span begins."""
    return replace(span, since=span.since - (span.until - span.since), until=span.since)


def _trends(report: UsageReport, now: UsageFigures, before: UsageFigures) -> list[Trend]:
    log = log_of(report)
    return [
        Trend("requests", _("Requests"), now.requests, before.requests, log.all),
        Trend("tokens", _("Tokens"), _tokens(now), _tokens(before), log.all),
        Trend("cost", _("Cost"), now.cost, before.cost, log.all),
        Trend("errors", _("Errors"), now.errors, before.errors, log.failed),
    ]


def _tokens(figures: UsageFigures) -> int:
    return figures.prompt_tokens + figures.completion_tokens


def _lines(report: UsageReport, by: Dimension, all_of_it: UsageFigures) -> list[Line]:
    groups = report.groups(by, "requests", TOP)
    most = max(1, all_of_it.requests)
    return [
        Line(group, log_of_group(report, by, group), round(group.figures.requests * 100 / most))
        for group in groups
    ]


def _part(request: ConsoleRequest) -> HttpResponse:
    name = request.GET.get("range", WEEK)
    shown = context(request.tenant, name if name in SPANS else WEEK)
    return render(request, "console/overview/_trends.html", shown)


trends, platform_trends = twin_pages(Permission.VIEW_USAGE, _part)
