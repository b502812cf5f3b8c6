"""Explanations of refused requests (429): the limit or quota that refused, and when it frees."""

from typing import Any

import django_filters as f
from django.utils.translation import gettext as _
from rest_framework import serializers as s
from rest_framework.response import Response

from console.api.problem import not_found
from console.api.resource import Resource
from console.api.strict_input import Shape
from tenants.models import Refusal
from tenants.models.refusal import RefusedBy
from tenants.refusals.explanation import explain
from tenants.refusals.recorder import uuid_of
from tenants.roles import Permission as P


class RefusalShape(Shape):
    id = s.SerializerMethodField()
    tier = s.ChoiceField(RefusedBy.choices, help_text="The limit or quota that refused.")
    explanation = s.SerializerMethodField()
    actor = s.CharField(help_text="The caller that was refused.")
    quota = s.UUIDField(source="quota_id", allow_null=True)
    route = s.CharField()
    model = s.CharField()
    client_net = s.CharField(allow_null=True, help_text="The address without its last part.")
    limit = s.IntegerField()
    used = s.IntegerField()
    count = s.IntegerField(help_text="Refusals in this minute.")
    first_at = s.DateTimeField()
    last_at = s.DateTimeField()
    frees_at = s.DateTimeField()
    EXAMPLE = {
        "id": "ref_0192e6a05d0b7c6e9f6e1f2a3b4c5d6e",
        "tier": "rate",
        "explanation": "Requests per minute of the tenant: 200 of 200 were used.",
        "actor": "key:0192e6a0-77aa-7c6e-9f6e-1f2a3b4c5d6e",
        "quota": None,
        "route": "/v1/chat/completions",
        "model": "llama",
        "client_net": "192.0.2.0",
        "limit": 200,
        "used": 200,
        "count": 17,
        "first_at": "2026-01-31T08:00:01Z",
        "last_at": "2026-01-31T08:00:09Z",
        "frees_at": "2026-01-31T08:00:10Z",
    }

    def get_id(self, refusal: Refusal) -> str:
        return f"ref_{refusal.pk.hex}"

    def get_explanation(self, refusal: Refusal) -> str:
        figures = {"tier": refusal.get_tier_display(), "used": refusal.used, "limit": refusal.limit}
        return _("%(tier)s: %(used)d of %(limit)d were used.") % figures


class ShareShape(Shape):
    actor = s.CharField()
    name = s.CharField()
    requests = s.IntegerField()
    tokens = s.IntegerField()


class Explained(Shape):
    counter = s.CharField(help_text="The limit's owner: an address, a key, the tenant, a quota.")
    advice = s.CharField()
    still_refusing = s.BooleanField()
    since = s.DateTimeField(help_text="`used_by` counts from then on.")
    used_by = ShareShape(many=True)


class ExplainedRefusal(RefusalShape, Explained):
    EXAMPLE = {
        **RefusalShape.EXAMPLE,
        "counter": "acme",
        "advice": "All keys and members of the tenant share the limit.",
        "still_refusing": True,
        "since": "2026-01-31T07:59:01Z",
        "used_by": [
            {
                "actor": "key:0192e6a0-77aa-7c6e-9f6e-1f2a3b4c5d6e",
                "name": "build server",
                "requests": 190,
                "tokens": 41_000,
            }
        ],
    }


class RefusalFilter(f.FilterSet):
    tier = f.ChoiceFilter(choices=RefusedBy.choices)
    actor = f.CharFilter(max_length=80)
    quota = f.UUIDFilter(field_name="quota_id")
    model = f.CharFilter(max_length=120)
    since = f.IsoDateTimeFilter(field_name="last_at", lookup_expr="gte")
    until = f.IsoDateTimeFilter(field_name="last_at", lookup_expr="lt")


class Refusals(Resource):
    needs = {"list": P.VIEW_LIMITS, "retrieve": P.VIEW_LIMITS}
    shape = RefusalShape
    gives = {"retrieve": ExplainedRefusal}
    asks = {"list": RefusalFilter}
    orderings = ("-last_at", "last_at")

    def list(self, request: Any, tenant: str) -> Response:
        """List refused requests: one entry for each caller, limit and minute."""
        return self.respond_page(self.url_tenant.refusals.all())

    def retrieve(self, request: Any, tenant: str, refusal: str) -> Response:
        """Explain a refusal by the id of its 429, with the callers who used the limit up."""
        pk = uuid_of(refusal)
        if pk is None:
            raise not_found()
        row = self.get_or_404(self.url_tenant.refusals.all(), pk=pk)
        return self.respond(row, **Explained(explain(row)).data)
