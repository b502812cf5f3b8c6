"""Limits: a tenant's own figures, and those of its tier where it has none. 0 means no limit."""

from typing import Any

from rest_framework import serializers as s
from rest_framework.response import Response

from console.api.acts import Act, Who, calling, shape_of, showing
from console.api.problem import not_found
from console.api.resource import Resource
from console.api.strict_input import Shape
from tenants.models import Tenant, Tier, TierPolicy
from tenants.operator_scopes import OperatorScope as Scope
from tenants.roles import Permission as P

MOST = 2**31 - 1
IN_FLIGHT = (
    "Total size of the requests that have not been answered yet. A megabyte has 1,000,000 bytes."
)
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


class OwnLimits(Shape):
    requests_per_minute = s.IntegerField(allow_null=True)
    burst = s.IntegerField(allow_null=True)
    tokens_per_minute = s.IntegerField(allow_null=True)
    max_concurrency = s.IntegerField(allow_null=True)
    megabytes_in_flight = s.IntegerField(allow_null=True)
    megabytes_per_day = s.IntegerField(allow_null=True)


class LimitsChange(Shape):
    requests_per_minute = figure(null=True)
    burst = figure(null=True)
    tokens_per_minute = figure(null=True)
    max_concurrency = figure(null=True)
    megabytes_in_flight = figure(null=True)
    megabytes_per_day = figure(null=True)
    EXAMPLE = {"requests_per_minute": 600, "burst": None}


class LimitsShape(OwnLimits):
    tier = s.ChoiceField(Tier.choices)
    weight = s.IntegerField(help_text="Share of the GPUs against a standard tenant's 1.")
    effective = HeldLimits(help_text="In force: null in a field above takes the tier's figure.")
    EXAMPLE = {"tier": "standard", "weight": 1}


class Limits(Resource):
    shape = LimitsShape
    lookup_field = "name"

    def rows(self) -> Any:
        return Tenant.objects.filter(pk=self.url_tenant.pk)

    retrieve = showing(P.VIEW_LIMITS, "Show a tenant's limits.", Scope.LIMITS_READ)
    partial_update = calling(
        "change",
        Who.OPERATOR,
        "Change a tenant's limits.\n\nNull gives a figure back to the tier.",
        Scope.LIMITS_WRITE,
        takes=LimitsChange,
    )


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
    EXAMPLE = {"tier": "vip", "weight": 4}


TierPage = shape_of("TierPage", results=TierShape(many=True))


class Tiers(Resource):
    shape = TierShape

    @Act(Who.OPERATOR, (Scope.LIMITS_READ,), gives=TierPage)
    def show_all(self, request: Any) -> Response:
        """List the tiers."""
        return Response({"results": [TierShape(_policy(tier)).data for tier in Tier.values]})

    @Act(Who.OPERATOR, (Scope.LIMITS_READ,))
    def retrieve(self, request: Any, tier: str) -> Response:
        """Show a tier."""
        return self.respond(_policy(tier))

    @Act(Who.OPERATOR, (Scope.LIMITS_WRITE,), takes=TierChange)
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
