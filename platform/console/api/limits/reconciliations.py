"""The nightly comparison of ledger, counters and usage. A difference of 0 is what it should be."""

from typing import Any

import django_filters as f
from rest_framework import serializers as s
from rest_framework.response import Response

from console.api.resource import Resource
from console.api.strict_input import Shape
from tenants.models import Reconciliation
from tenants.roles import Permission as P


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
    counters_off = s.IntegerField(help_text="Counters that differ from the sum of the ledger.")
    difference = s.IntegerField()
    EXAMPLE = {
        "id": 31,
        "day": "2026-01-31",
        "ran_at": "2026-02-01T03:00:00Z",
        "requests_ledger": 1204,
        "requests_usage": 1204,
        "tokens_ledger": 912_345,
        "tokens_usage": 912_345,
        "cost_ledger": 1_310_200,
        "cost_usage": 1_310_200,
        "counters_off": 0,
        "difference": 0,
    }


class ReconciliationFilter(f.FilterSet):
    first = f.DateFilter(field_name="day", lookup_expr="gte")
    last = f.DateFilter(field_name="day", lookup_expr="lte")


class Reconciliations(Resource):
    needs = {"list": P.VIEW_USAGE, "retrieve": P.VIEW_USAGE}
    shape = ReconciliationShape
    asks = {"list": ReconciliationFilter}
    orderings = ("-day", "day")

    def list(self, request: Any, tenant: str) -> Response:
        """List the nightly comparisons."""
        return self.respond_page(Reconciliation.objects.filter(tenant=self.url_tenant))

    def retrieve(self, request: Any, tenant: str, reconciliation: int) -> Response:
        """Show a night's comparison."""
        rows = Reconciliation.objects.filter(tenant=self.url_tenant)
        return self.respond(self.get_or_404(rows, pk=reconciliation))
