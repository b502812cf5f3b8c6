"""Pages and exports of usage by caller and model, from roll-ups, never from raw rows."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any, NamedTuple

import orjson
from django.http import Http404, HttpResponse, HttpResponseBase, QueryDict
from django.shortcuts import render, resolve_url
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from audit.actions import Action
from audit.trail.record import act
from console import downloads
from console.authorization import ConsoleRequest, twin_pages
from console.usage.log_links import LogLinks, log_of, log_of_each, log_of_group
from console.usage.usage_filter import GROUPS, UsageFilter
from inference.usage.export import FORMATS, exported, file_name
from inference.usage.ratings import ModelRatings, by_model
from inference.usage.report import (
    MOST_GROUPS,
    SORTS,
    Dimension,
    Group,
    Name,
    Period,
    UsageFigures,
    UsageReport,
    as_of,
    names,
    total,
)
from inference.usage.time_range import OWN_DAYS
from tenants.roles import Permission

Scope = Callable[[], AbstractContextManager[None]]
COLUMNS = (
    ("requests", _("Requests")),
    ("prompt_tokens", _("Tokens in")),
    ("cached_tokens", _("of these cached")),
    ("completion_tokens", _("Tokens out")),
    ("cost", _("Cost")),
    ("cancelled", _("Cancelled")),
    ("errors", _("Errors")),
    ("ttft", _("First token p50 / p95")),
    ("inter_token", _("Between tokens p50 / p95")),
    ("queue_wait", _("Queue p50 / p95")),
)


class UsageRow(NamedTuple):
    group: Group
    url: str  # the page of this group only
    log: LogLinks


class ColumnHead(NamedTuple):
    """A column's head, with an address if the table can be sorted by it."""

    label: Promise
    url: str
    sorted: bool


class Point(NamedTuple):
    label: str  # an hour or a day
    figures: UsageFigures
    log: LogLinks


class Chip(NamedTuple):
    """An active filter, and the page without it."""

    label: Promise
    name: Name
    url: str


def _page(request: ConsoleRequest) -> HttpResponse:
    form = UsageFilter(request.GET, request.tenant)
    context: dict[str, object] = {"form": form, "as_of": as_of()}
    if form.is_valid():
        context |= _report_context(request, form)
    return render(request, "console/usage/page.html", context)


def _report_context(request: ConsoleRequest, form: UsageFilter) -> dict[str, object]:
    report, by, sort = form.report, form.grouping, form.cleaned_data["sort"]
    zone_name = report.tenant.time_zone if report.tenant else report.span.zone_name
    series = report.series()
    groups = report.groups(by, sort, MOST_GROUPS + 1)
    labels = [_label(report, period) for period in series]
    logs = log_of_each(report, series)
    return {
        "report": report,
        "points": [
            Point(label, period.figures, log)
            for label, period, log in zip(labels, series, logs, strict=True)
        ],
        "total": total(series),
        "log": log_of(report),
        "heads": [_head(request, label, name, sort) for name, label in COLUMNS],
        "lines": [
            UsageRow(group, _group_url(request, by, group), log_of_group(report, by, group))
            for group in groups[:MOST_GROUPS]
        ],
        "more": len(groups) > MOST_GROUPS,
        "chips": list(_chips(request, report)),
        "by": GROUPS[by],
        "chart": _chart(labels, [period.figures for period in series], logs),
        "days_of_utc": report.span.zone_name != zone_name,
        "own_days": OWN_DAYS,
        "files": [(form, _export_url(request, form)) for form in FORMATS],
        "ratings": _ratings(report),
    }


def _ratings(report: UsageReport) -> list[ModelRatings]:
    """Returns the ratings of a whole tenant; a filter would make them those of a person."""
    if report.tenant is None or report.where:
        return []
    return by_model(report.tenant.pk, report.span.since, report.span.until)


def _label(report: UsageReport, period: Period) -> str:
    begins = period.begins.astimezone(report.span.zone)
    return begins.strftime("%m-%d %H:%M" if report.span.hourly else "%Y-%m-%d")


def _head(request: ConsoleRequest, label: Promise, name: str, sort: str) -> ColumnHead:
    return ColumnHead(
        label, "?" + _query(request, sort=name) if name in SORTS else "", name == sort
    )


def _chart(labels: list[str], figures: list[UsageFigures], logs: list[LogLinks]) -> str:
    """Columns for static/console/usage.js, oldest first; null where nothing was measured."""
    columns: dict[str, list[Any]] = {
        "labels": labels,
        "urls": [log.all for log in logs],
        "requests": [f.requests for f in figures],
        "errors": [f.errors for f in figures],
        "prompt": [f.prompt_tokens for f in figures],
        "completion": [f.completion_tokens for f in figures],
    }
    for name in ("ttft", "inter_token"):
        columns[f"{name}_p50"] = [getattr(f, name).p50 for f in figures]
        columns[f"{name}_p95"] = [getattr(f, name).p95 for f in figures]
    return orjson.dumps(columns).decode()


def _group_url(request: ConsoleRequest, by: Dimension, group: Group) -> str:
    if by == Dimension.TENANT:
        page = resolve_url("console:usage", tenant=group.name.text)
        return f"{page}?{_query(request, by='', tenant='')}"
    then = Dimension.KEY if by.is_name else Dimension.MODEL
    return "?" + _query(request, **{str(by): str(group.id), "by": str(then)})


def _chips(request: ConsoleRequest, report: UsageReport) -> Iterator[Chip]:
    for dimension, id_ in report.where.items():
        name = names(dimension, [id_], report.tenant)[id_]
        url = "?" + _query(request, **{str(dimension): ""})
        yield Chip(GROUPS[dimension], name, url)


def _export_url(request: ConsoleRequest, form: str) -> str:
    if request.tenant:
        page = resolve_url("console:usage_export", tenant=request.tenant.name)
    else:
        page = resolve_url("console:all_usage_export")
    return f"{page}?{_query(request, format=form)}"


def _query(request: ConsoleRequest, **changes: str) -> str:
    query = QueryDict(mutable=True)
    for name, value in {**request.GET.dict(), **changes}.items():
        if value:
            query[name] = value
    return query.urlencode()


def _file(request: ConsoleRequest) -> HttpResponseBase:
    """Record the export and return it. Its bytes are read later, each piece in its own scope."""
    question, form = UsageFilter(request.GET, request.tenant), request.GET.get("format", "csv")
    if form not in FORMATS or not question.is_valid():
        raise Http404
    report, by = question.report, question.grouping
    name = file_name(report, by, form)
    tenant_id = request.tenant.id if request.tenant else None
    act(Action.USAGE_EXPORT, actor=request.actor, tenant_id=tenant_id, detail={"file": name})
    pieces = exported(report, by, form)
    return downloads.stream(pieces, downloads.scope_of(request), name, FORMATS[form])


usage, all_usage = twin_pages(Permission.VIEW_USAGE, _page)
export, all_export = twin_pages(Permission.VIEW_USAGE, _file)
