"""Usage by caller and model, from roll-ups, never from a row per request; and its comparisons."""

from typing import Any

import django_filters as f
from django.db.models import QuerySet
from django.http import HttpResponseBase
from django.utils.translation import gettext as _
from rest_framework import serializers as s
from rest_framework.response import Response

from audit.actions import Action
from audit.trail.record import act
from console import downloads
from console.api.acts import Act, Who, filters, listing, showing
from console.api.problem import bad_request
from console.api.resource import Resource
from console.api.strict_input import Shape
from console.usage.usage_filter import CUSTOM, RANGES, UsageFilter
from inference.models import UsageDay
from inference.usage import export
from inference.usage.report import LATENCIES, SORTS, SUMS, Dimension, UsageFigures, total
from tenants.models import Reconciliation
from tenants.roles import Permission as P


class FiguresShape(Shape):
    requests = s.IntegerField()
    prompt_tokens = s.IntegerField()
    cached_tokens = s.IntegerField(help_text="Part of the prompt tokens.")
    completion_tokens = s.IntegerField()
    cost = s.IntegerField(help_text="Cost in millionths of the currency.")
    millijoules = s.IntegerField(help_text="Energy of requests for which it was measured.")
    hosted = s.IntegerField(help_text="Requests that left this installation.")
    hosted_cost = s.IntegerField(help_text="Part of the cost.")
    cancelled = s.IntegerField()
    # DRF takes declared fields out of the class: Serializer.errors stays
    errors = s.IntegerField()  # type: ignore[assignment]
    errors_client = s.IntegerField()
    errors_engine = s.IntegerField()
    errors_platform = s.IntegerField()
    ttft_p50_ms = s.FloatField(allow_null=True)
    ttft_p95_ms = s.FloatField(allow_null=True)
    inter_token_p50_ms = s.FloatField(allow_null=True)
    inter_token_p95_ms = s.FloatField(allow_null=True)
    queue_wait_p50_ms = s.FloatField(allow_null=True)
    queue_wait_p95_ms = s.FloatField(allow_null=True)


class PeriodShape(FiguresShape):
    begins = s.DateTimeField()


class UsedBy(FiguresShape):
    id = s.CharField(
        help_text="A model's or adapter's name, or the id of a key, member, team or tenant."
    )
    name = s.CharField()
    former = s.BooleanField(help_text="Has been revoked, removed or disbanded since.")
    EXAMPLE = {"id": "llama", "name": "llama"}


class UsageShape(Shape):
    since = s.DateTimeField()
    until = s.DateTimeField(help_text="End of the range, exclusive.")
    time_zone = s.CharField(help_text="The time zone of the days.")
    by = s.ChoiceField([d.value for d in Dimension])
    total = FiguresShape()
    series = PeriodShape(many=True, help_text="Figures of each hour or day.")
    groups = UsedBy(many=True, help_text="The hundred largest by the requested order.")
    EXAMPLE = {"time_zone": "UTC"}


def _choices(words: Any) -> list[tuple[str, str]]:
    return [(str(word), str(word)) for word in words]


class UsageQuestion(f.FilterSet):
    range = f.ChoiceFilter(choices=_choices([*RANGES, CUSTOM]))
    first = f.DateFilter(help_text="Used with range=custom.")
    last = f.DateFilter()
    by = f.ChoiceFilter(choices=_choices(d for d in Dimension if d != Dimension.TENANT))
    sort = f.ChoiceFilter(choices=_choices(SORTS))
    team = f.UUIDFilter()
    member = f.UUIDFilter()
    key = f.UUIDFilter()
    model = f.CharFilter(max_length=120)
    adapter = f.CharFilter(max_length=201, help_text="As BASE:NAME, or `none`.")


class AllUsageQuestion(UsageQuestion):
    by = f.ChoiceFilter(choices=_choices(d for d in Dimension if d != Dimension.ADAPTER))
    adapter = None
    tenant = f.UUIDFilter()


class FileQuestion(UsageQuestion):
    form = f.ChoiceFilter(choices=_choices(export.FORMATS), required=True)


class AllFileQuestion(AllUsageQuestion, FileQuestion):
    pass


class Usage(Resource):
    shape = UsageShape

    @Act(P.VIEW_USAGE, asks=UsageQuestion)
    def report(self, request: Any, **place: Any) -> Response:
        """Report usage: in all, over time, and by model, adapter, key, member or team."""
        question = self._filter()
        report = question.report
        series = report.series()
        groups = report.groups(question.grouping, question.cleaned_data["sort"])
        return Response(
            {
                "since": report.span.since,
                "until": report.span.until,
                "time_zone": report.span.zone_name,
                "by": question.grouping,
                "total": _body(total(series)),
                "series": [{"begins": p.begins, **_body(p.figures)} for p in series],
                "groups": [_group(group) for group in groups],
            }
        )

    @Act(P.VIEW_USAGE, asks=FileQuestion, files=("text/csv", "application/json"))
    def export(self, request: Any, **place: Any) -> HttpResponseBase:
        """Export usage as CSV or JSON: one row for each group in each hour or day.

        This is on record. Text that a spreadsheet would take for a formula is escaped.
        """
        question = self._filter()
        form = request.GET["form"]
        name = export.file_name(question.report, question.grouping, form)
        tenant_id = self.tenant.id if self.tenant else None
        act(Action.USAGE_EXPORT, actor=self.actor, tenant_id=tenant_id, detail={"file": name})
        pieces = export.exported(question.report, question.grouping, form)
        return downloads.stream(pieces, self.scope, name, export.FORMATS[form])

    def _filter(self) -> UsageFilter:
        self.checked_filters(UsageDay.objects.none())
        question = UsageFilter(self.request.GET, self.tenant)
        if not question.is_valid():
            raise bad_request(question.errors)
        fields = question.cleaned_data
        if fields["range"] == CUSTOM and not fields["first"]:
            raise bad_request({"first": [_("Say where it begins.")]})
        if fields["range"] != CUSTOM and (fields["first"] or fields["last"]):
            raise bad_request({"range": [_("Days are for range=custom.")]})
        return question


class AllUsage(Usage):
    @Act(Who.OPERATOR, asks=AllUsageQuestion)
    def report(self, request: Any, **place: Any) -> Response:
        """Report usage over all tenants."""
        return super().report(request, **place)

    @Act(Who.OPERATOR, asks=AllFileQuestion, files=("text/csv", "application/json"))
    def export(self, request: Any, **place: Any) -> HttpResponseBase:
        """Export usage over all tenants."""
        return super().export(request, **place)


def _body(figures: UsageFigures) -> dict[str, Any]:
    body: dict[str, Any] = {name: getattr(figures, name) for name in SUMS}
    body["errors"] = figures.errors
    for name in LATENCIES:
        histogram = getattr(figures, name)
        body |= {f"{name}_p50_ms": histogram.p50, f"{name}_p95_ms": histogram.p95}
    return body


def _group(group: Any) -> dict[str, Any]:
    name = {"id": str(group.id), "name": group.name.text, "former": group.name.former}
    return name | _body(group.figures)


# Nightly comparisons of ledger, counters and usage: a difference is to be 0 ----------------------
class ReconciliationShape(Shape):
    id = s.IntegerField()
    day = s.DateField()
    ran_at = s.DateTimeField()
    requests_ledger = s.IntegerField()
    requests_usage = s.IntegerField()
    tokens_ledger = s.IntegerField()
    tokens_usage = s.IntegerField()
    cost_ledger = s.IntegerField()
    cost_usage = s.IntegerField()
    gpu_ms_ledger = s.IntegerField(help_text="Milliseconds times GPUs, of jobs.")
    gpu_ms_usage = s.IntegerField()
    counters_off = s.IntegerField(help_text="Counters that differ from the sum of the ledger.")
    difference = s.IntegerField()
    EXAMPLE = {"counters_off": 0, "difference": 0}


class Reconciliations(Resource):
    shape = ReconciliationShape
    orderings = ("-day", "day")

    def rows(self) -> QuerySet[Reconciliation]:
        return Reconciliation.objects.filter(tenant=self.url_tenant)

    list = listing(
        P.VIEW_USAGE,
        "List the nightly comparisons.",
        asks=filters(
            first=f.DateFilter(field_name="day", lookup_expr="gte"),
            last=f.DateFilter(field_name="day", lookup_expr="lte"),
        ),
    )
    retrieve = showing(P.VIEW_USAGE, "Show a night's comparison.")
