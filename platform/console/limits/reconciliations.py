"""Page of the nightly comparisons of each tenant's ledger with its usage: all should be even."""

from django.db.models import F, Q
from django.http import HttpResponse
from django.utils.translation import gettext_lazy as _

from console.authorization import ConsoleRequest, operators_only
from console.tables import Column, Table
from tenants.models import Reconciliation

EVEN = Q(
    counters_off=0,
    requests_ledger=F("requests_usage"),
    tokens_ledger=F("tokens_usage"),
    cost_ledger=F("cost_usage"),
    gpu_ms_ledger=F("gpu_ms_usage"),
)


NIGHTS = Table(
    "reconciliations",
    {
        "day": Column(_("Day"), "day", "ran_at"),
        "tenant": Column(_("Tenant"), "tenant.name", "tenant__name"),
        "requests": Column(_("Requests"), "requests_ledger", "requests_ledger", numbers=True),
        "tokens": Column(_("Tokens"), "tokens_ledger", "tokens_ledger", numbers=True),
        "cost": Column(_("Cost"), "cost_ledger", "cost_ledger", numbers=True),
        "counters_off": Column(_("Counters off"), "counters_off", "counters_off", numbers=True),
        "difference": Column(_("Difference"), "difference", numbers=True),
    },
    order="-day",
    search=("tenant__name",),
)


@operators_only
def reconciliations(request: ConsoleRequest) -> HttpResponse:
    rows = Reconciliation.objects.select_related("tenant")
    only_off = request.GET.get("only") == "off"
    rows = rows.exclude(EVEN) if only_off else rows
    latest = Reconciliation.objects.order_by("-day").values_list("day", flat=True).first()
    night = list(Reconciliation.objects.filter(day=latest)) if latest else []
    context = {
        "only_off": only_off,
        "latest": latest,
        "tenants": len(night),
        "difference": sum(row.difference for row in night),
    }
    return NIGHTS.page(request, rows, "console/reconciliations.html", **context)
