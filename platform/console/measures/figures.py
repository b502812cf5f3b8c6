"""The page of the figures of customer service. Each figure leads to the dialogues behind it."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from typing import Any

import orjson
from django.http import HttpResponse, QueryDict
from django.shortcuts import render, resolve_url

from console.authorization import TenantRequest, permitted
from console.inbox.words import reason_text
from console.measures.filters import LANGUAGES, ServiceFilter
from console.usage.usage_filter import CUSTOM
from inference.dialogues.measures.cohort import CallOutcome, Outcome
from inference.dialogues.measures.figures import Figures
from inference.dialogues.measures.report import By, Group, ServiceReport, TooMany
from inference.models import Channel
from tenants.roles import Permission

_PAGE_ONLY = ("by", "step")  # parameters that the list of dialogues does not have


@dataclass(frozen=True, slots=True)
class Line:
    """A row of a table: figures, and the addresses of the dialogues behind them."""

    label: str
    figures: Figures
    all: str
    resolved: str
    handed_over: str


@permitted(Permission.VIEW_ASSISTANTS)
def figures(request: TenantRequest) -> HttpResponse:
    form = ServiceFilter(request.GET, request.tenant)
    context: dict[str, Any] = {"form": form}
    if form.is_valid():
        try:
            form.report.check()
            context |= _shown(request, form)
        except TooMany:
            context["too_many"] = True
    return render(request, "console/service/figures.html", context)


def _shown(request: TenantRequest, form: ServiceFilter) -> dict[str, Any]:
    report, by = form.report, form.grouping
    series, total = report.series(), report.total
    names = dict(request.tenant.assistants.values_list("pk", "name"))
    return {
        "report": report,
        "total": total,
        "links": dict(_links(request, total)),
        "chart": _chart(series),
        "points": [_period(request, report, begins, figures) for begins, figures in series],
        "by": by.label,
        "groups": [_group(request, by, group, names) for group in report.groups(by)],
        "hand_overs": [
            (reason_text(row.reason), _link(request, reason=row.reason), row)
            for row in report.hand_overs()
        ],
        "outcomes": CallOutcome.labels,
        "calls": [(row.action, _calls(request, row.action, row.counts)) for row in report.calls()],
        "ratings": [
            (mark, number, _link(request, satisfaction=mark))
            for mark, number in report.ratings().items()
        ],
    }


def _links(request: TenantRequest, total: Figures) -> Iterator[tuple[str, str]]:
    """Yields the addresses behind the figures in all; of times and turns those of the slowest."""
    yield "all", _link(request)
    for outcome in Outcome:
        yield outcome.value, _link(request, outcome=outcome.value)
    yield "turns", _link(request, turns=_bound(total.turns_p95))
    yield "answers", _link(request, answer_ms=_bound(total.answer_p95_s, 1000))
    yield "resolving", _link(request, resolve_s=_bound(total.resolve_p95_s))


def _bound(value: float | None, factor: int = 1) -> int:
    return max(1, int(factor * float(value or 0)))


def _period(request: TenantRequest, report: ServiceReport, begins: date, figures: Figures) -> Line:
    span = report.cohort.span
    days = {
        "range": CUSTOM,
        "first": max(begins, span.first).isoformat(),
        "last": span.last_day(begins).isoformat(),
    }
    return _line(request, begins.isoformat(), figures, days)


def _group(request: TenantRequest, by: By, group: Group, names: dict[Any, str]) -> Line:
    same: dict[str, Any] = {str(by): group.value}
    label = group.value or "–"
    if by == By.VERSION:
        same["assistant"] = group.assistant
        label = f"{names.get(group.assistant, '–')} · {group.value}"
    if by == By.CHANNEL:
        label = str(Channel(group.value).label)
    if by == By.LANGUAGE:
        label = str(dict(LANGUAGES).get(group.value, group.value))
    return _line(request, label, group.figures, same)


def _line(request: TenantRequest, label: str, figures: Figures, same: dict[str, Any]) -> Line:
    return Line(
        label,
        figures,
        _link(request, **same),
        _link(request, **same, outcome=Outcome.RESOLVED.value),
        _link(request, **same, outcome=Outcome.HANDED_OVER.value),
    )


def _calls(request: TenantRequest, action: str, counts: dict[str, int]) -> list[tuple[int, str]]:
    return [
        (number, _link(request, action=action, call=outcome)) for outcome, number in counts.items()
    ]


def _chart(series: list[tuple[date, Figures]]) -> str:
    """Columns for static/console/usage.js, oldest first; null where nothing was measured."""
    figures = [each for _begins, each in series]
    columns = {
        "labels": [begins.isoformat() for begins, _each in series],
        "resolved": [each.resolved for each in figures],
        "handed_over": [each.handed_over for each in figures],
        "unresolved": [each.unresolved for each in figures],
        "turns": [_rounded(each.turns) for each in figures],
        "answer_p50": [_rounded(each.answer_p50_s) for each in figures],
        "answer_p95": [_rounded(each.answer_p95_s) for each in figures],
        "satisfaction": [_rounded(each.satisfaction) for each in figures],
    }
    return orjson.dumps(columns).decode()


def _rounded(value: Any) -> float | None:
    return None if value is None else round(float(value), 2)


def _link(request: TenantRequest, **same: Any) -> str:
    """Returns the address of the dialogues of the page's filter that have this in common."""
    query = QueryDict(mutable=True)
    own = {name: value for name, value in request.GET.items() if name not in _PAGE_ONLY}
    for name, value in {**own, **same}.items():
        if value not in (None, ""):
            query[name] = str(value)
    return f"{resolve_url('console:dialogues', tenant=request.tenant.name)}?{query.urlencode()}"
