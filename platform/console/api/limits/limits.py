"""Limits: a tenant's own figures, and those of its tier where it has none. 0 means no limit."""

from typing import Any

from rest_framework import serializers as s
from rest_framework.response import Response

from console.api.problem import not_found
from console.api.resource import Resource, Who
from console.api.strict_input import Shape
from tenants.models import Tenant, Tier, TierPolicy
from tenants.operator_scopes import OperatorScope as Scope
from tenants.roles import Permission as P

MOST = 2**31 - 1
IN_FLIGHT = (
    "Total size of the requests that have not been answered yet. A megabyte has 1,000,000 bytes."
)
_READING, _WRITING = (Scope.LIMITS_READ,), (Scope.LIMITS_WRITE,)
PER_DAY = "Requests and answers as they are kept on record; refilled evenly."


def figure(*, null: bool, required: bool = False) -> s.IntegerField:
    return s.IntegerField(min_value=0, max_value=MOST, allow_null=null, required=required)


class HeldLimits(Shape):
    requests_per_minute = s.IntegerField()
    burst = s.IntegerField()
    tokens_per_minute = s.IntegerField()
    max_concurrency = s.IntegerField()
    megabytes_in_flight = s.IntegerField(help_text=IN_FLIGHT)
    megabytes_per_day = s.IntegerField(help_text=PER_DAY)


class LimitsChange(Shape):
    requests_per_minute = figure(null=True)
    burst = figure(null=True)
    tokens_per_minute = figure(null=True)
    max_concurrency = figure(null=True)
    megabytes_in_flight = figure(null=True)
    megabytes_per_day = figure(null=True)
    EXAMPLE = {"requests_per_minute": 600, "burst": None}


class LimitsShape(Shape):
    tier = s.ChoiceField(Tier.choices)
    weight = s.IntegerField(help_text="Share of the GPUs against a standard tenant's 1.")
    requests_per_minute = s.IntegerField(allow_null=True)
    burst = s.IntegerField(allow_null=True)
    tokens_per_minute = s.IntegerField(allow_null=True)
    max_concurrency = s.IntegerField(allow_null=True)
    megabytes_in_flight = s.IntegerField(allow_null=True)
    megabytes_per_day = s.IntegerField(allow_null=True)
    effective = HeldLimits(help_text="In force: null in a field above takes the tier's figure.")
    EXAMPLE = {
        "tier": "standard",
        "weight": 1,
        "requests_per_minute": None,
        "burst": None,
        "tokens_per_minute": 50000,
        "max_concurrency": None,
        "megabytes_in_flight": None,
        "megabytes_per_day": None,
        "effective": {
            "requests_per_minute": 100,
            "burst": 200,
            "tokens_per_minute": 50000,
            "max_concurrency": 64,
            "megabytes_in_flight": 32,
            "megabytes_per_day": 10_000,
        },
    }


class Limits(Resource):
    needs = {"retrieve": P.VIEW_LIMITS, "partial_update": Who.OPERATOR}
    operator_scopes = {"retrieve": _READING, "partial_update": _WRITING}
    shape = LimitsShape
    takes = {"partial_update": LimitsChange}

    def retrieve(self, request: Any, tenant: str) -> Response:
        """Show a tenant's limits."""
        return self.respond(self.get_or_404(Tenant.objects.all(), pk=self.url_tenant.pk))

    def partial_update(self, request: Any, tenant: str) -> Response:
        """Change a tenant's limits.

        Null gives a figure back to the tier.
        """
        fields = self.body()
        row = self.get_for_change(Tenant.objects.all(), pk=self.url_tenant.pk)
        row.change(by=self.actor, **fields)
        return self.respond(row)


class TierChange(Shape):
    weight = s.IntegerField(min_value=1, max_value=100, required=False)
    requests_per_minute = figure(null=False)
    burst = figure(null=False)
    tokens_per_minute = figure(null=False)
    max_concurrency = figure(null=False)
    megabytes_in_flight = figure(null=False)
    megabytes_per_day = figure(null=False)
    EXAMPLE = {"weight": 4, "requests_per_minute": 1000}


class TierShape(HeldLimits):
    tier = s.ChoiceField(Tier.choices)
    weight = s.IntegerField()
    EXAMPLE = {"tier": "vip", "weight": 4, **LimitsShape.EXAMPLE["effective"]}


class TierPage(Shape):
    results = TierShape(many=True)
    EXAMPLE = {"results": [TierShape.EXAMPLE]}


class Tiers(Resource):
    needs = {
        "show_all": Who.OPERATOR,
        "retrieve": Who.OPERATOR,
        "partial_update": Who.OPERATOR,
    }
    operator_scopes = dict.fromkeys(("show_all", "retrieve"), _READING)
    operator_scopes |= {"partial_update": _WRITING}
    shape = TierShape
    takes = {"partial_update": TierChange}
    gives = {"show_all": TierPage}

    def show_all(self, request: Any) -> Response:
        """List the tiers."""
        return Response({"results": [TierShape(_policy(tier)).data for tier in Tier.values]})

    def retrieve(self, request: Any, tier: str) -> Response:
        """Show a tier."""
        return self.respond(_policy(tier))

    def partial_update(self, request: Any, tier: str) -> Response:
        """Change what a tier gives its tenants."""
        fields = self.body()
        row = TierPolicy.objects.select_for_update().filter(tier=tier).first() or _policy(tier)
        self.check_if_match(row)
        return self.respond(row.change(by=self.actor, **fields))


def _policy(tier: str) -> TierPolicy:
    if tier not in Tier.values:
        raise not_found()
    return TierPolicy.objects.of(tier)
