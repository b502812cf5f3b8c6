"""Page of the nightly comparisons of each tenant's ledger with its usage: all should be even."""

from django.db.models import F, Q
from django.http import HttpResponse
from django.shortcuts import render

from console.authorization import ConsoleRequest, operators_only
from console.paging import page
from tenants.models import Reconciliation

EVEN = Q(
    counters_off=0,
    requests_ledger=F("requests_usage"),
    tokens_ledger=F("tokens_usage"),
    cost_ledger=F("cost_usage"),
    gpu_ms_ledger=F("gpu_ms_usage"),
)


@operators_only
def reconciliations(request: ConsoleRequest) -> HttpResponse:
    rows = Reconciliation.objects.select_related("tenant")
    only_off = request.GET.get("only") == "off"
    shown = page(rows.exclude(EVEN) if only_off else rows, "ran_at", request.GET.get("cursor", ""))
    latest = Reconciliation.objects.order_by("-day").values_list("day", flat=True).first()
    night = list(Reconciliation.objects.filter(day=latest)) if latest else []
    context = {
        "page": shown,
        "only_off": only_off,
        "latest": latest,
        "tenants": len(night),
        "difference": sum(row.difference for row in night),
    }
    return render(request, "console/reconciliations.html", context)
