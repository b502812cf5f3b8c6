"""Explanations of refused requests (429): the limit or quota that refused, and when it frees."""

from typing import Any

import django_filters as f
from django.utils.translation import gettext as _
from rest_framework import serializers as s
from rest_framework.response import Response

from console.api.acts import Act, filters, listing
from console.api.problem import first_or_404
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
        "explanation": "Requests per minute of the tenant: 12 of 12 were used.",
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
    }


class Refusals(Resource):
    shape = RefusalShape
    orderings = ("-last_at", "last_at")

    def rows(self) -> Any:
        return self.url_tenant.refusals.all()

    list = listing(
        P.VIEW_LIMITS,
        "List refused requests: one entry for each caller, limit and minute.",
        asks=filters(
            tier=f.ChoiceFilter(choices=RefusedBy.choices),
            actor=f.CharFilter(max_length=80),
            quota=f.UUIDFilter(field_name="quota_id"),
            model=f.CharFilter(max_length=120),
            since=f.IsoDateTimeFilter(field_name="last_at", lookup_expr="gte"),
            until=f.IsoDateTimeFilter(field_name="last_at", lookup_expr="lt"),
        ),
    )

    @Act(P.VIEW_LIMITS, gives=ExplainedRefusal)
    def retrieve(self, request: Any, tenant: str, refusal: str) -> Response:
        """Explain a refusal by the id of its 429, with the callers who used the limit up."""
        row = first_or_404(self.rows().filter(pk=uuid_of(refusal)))
        return self.respond(row, **Explained(explain(row)).data)
