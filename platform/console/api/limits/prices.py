"""Prices of a model's tokens from a moment on. Earlier prices stay as they were."""

from decimal import Decimal
from typing import Any

import django_filters as f
from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from rest_framework import serializers as s
from rest_framework.response import Response

from console.api.acts import Act, Who, calling, filters, listing, showing
from console.api.resource import Resource
from console.api.strict_input import Shape
from console.limits.prices import check_pool
from tenants.models import Price
from tenants.operator_scopes import OperatorScope as Scope


def _amount() -> s.DecimalField:
    return s.DecimalField(max_digits=12, decimal_places=4, min_value=0)


class NewPrice(Shape):
    model = s.CharField(max_length=120)
    pool = s.CharField(
        max_length=120,
        allow_blank=True,
        default="",
        help_text="The pool to which it applies. Empty: all pools without a price of their own.",
    )
    prompt = _amount()
    cached = _amount()
    completion = _amount()
    gpu_hour = s.DecimalField(
        max_digits=12,
        decimal_places=4,
        min_value=0,
        default=Decimal(0),
        help_text="Of jobs, per GPU-hour, in currency units.",
    )
    peak_hours = s.CharField(
        max_length=120,
        allow_blank=True,
        default="",
        help_text="In UTC, such as `Mon-Fri 01:00-04:00, 06:00-10:00`.",
    )
    peak_factor = s.DecimalField(
        max_digits=7,
        decimal_places=4,
        min_value=0,
        default=Decimal(1),
        help_text="Factor for all prices in these hours.",
    )
    EXAMPLE = {
        "model": "llama-3.1-70b",
        "pool": "",
        "prompt": "0.5500",
        "cached": "0.1400",
        "completion": "2.1900",
        "gpu_hour": "1.8000",
        "peak_hours": "Mon-Fri 01:00-04:00, 06:00-10:00",
        "peak_factor": "2.0000",
    }

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        try:
            check_pool(attrs["model"], attrs["pool"])
        except ValidationError as problem:
            raise s.ValidationError({"pool": problem.messages}) from None
        return attrs


class PriceShape(NewPrice):
    id = s.IntegerField()
    since = s.DateTimeField()
    ended = s.BooleanField(help_text="Since then the pool has no price of its own.")


class Prices(Resource):
    shape = PriceShape
    orderings = ("-since", "since")

    def rows(self) -> QuerySet[Price]:
        return Price.objects.all()

    list = listing(
        Who.OPERATOR,
        "List prices, the present and the past.",
        Scope.PRICES_READ,
        asks=filters(model=f.CharFilter(max_length=120), pool=f.CharFilter(max_length=120)),
    )
    retrieve = showing(Who.OPERATOR, "Show a price.", Scope.PRICES_READ)
    end = calling(
        "end",
        Who.OPERATOR,
        "End a pool's own price: from now on it costs what its model does.\n\n"
        "It has to be the one that holds.",
        Scope.PRICES_WRITE,
    )

    @Act(Who.OPERATOR, (Scope.PRICES_WRITE,), takes=NewPrice)
    def create(self, request: Any) -> Response:
        """Set a model's price, or its price in one pool, per million tokens.

        It holds for requests from now on.
        """
        return self.respond(Price.set(**self.body(), by=self.actor), 201)
