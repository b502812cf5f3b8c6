"""A tenant's adapters: names on base models, and the versions that serve behind them."""

from typing import Any

from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from django.utils.translation import gettext as _
from rest_framework import serializers as s
from rest_framework.response import Response

from console.api.acts import Act, calling, listing, shape_of, showing
from console.api.problem import first_or_404
from console.api.resource import Resource
from console.api.strict_input import Row, Shape
from inference.adapters import acts, usage
from inference.models import Adapter, AdapterPromotion, ModelVersion, PromotionStep
from inference.models.adapter import LONGEST_ADAPTER
from inference.models.served import LONGEST_NAME
from tenants.operator_scopes import OperatorScope as Scope
from tenants.roles import Permission as P

_WRITE = (Scope.POOLS_WRITE,)
_ID = "0192e6a0-77aa-7c6e-9f6e-1f2a3b4c5d6e"


class PromotionShape(Row):
    version = s.CharField(source="version_label", help_text="NAME@NUMBER of the registry.")
    version_id = s.UUIDField()
    step = s.ChoiceField(PromotionStep.choices)
    is_rollback = s.BooleanField()
    reason = s.CharField(help_text="The reason for a failure.")
    created_by = s.CharField()
    served_at = s.DateTimeField(allow_null=True)
    ended_at = s.DateTimeField(allow_null=True)
    EXAMPLE = {"version": "support@3", "step": "serving", "version_id": _ID}


class AdapterShape(Row):
    model = s.CharField(help_text="The name for requests: BASE:NAME.")
    base = s.CharField()
    name = s.CharField()
    version = s.SerializerMethodField(help_text="The version that serves; null: none.")
    loading = s.SerializerMethodField(help_text="The version that engines load; null: none.")
    marked = s.SerializerMethodField(
        help_text="Why the version that serves is marked, such as: trained on erased data."
    )
    EXAMPLE = {
        "model": "deepseek-r1:support",
        "base": "deepseek-r1",
        "name": "support",
        "version": "support@3",
        "loading": None,
        "marked": "",
    }

    def get_version(self, adapter: Adapter) -> str | None:
        return str(serving.version) if (serving := adapter.serving) else None

    def get_loading(self, adapter: Adapter) -> str | None:
        return str(loading.version) if (loading := adapter.loading) else None

    def get_marked(self, adapter: Adapter) -> str:
        return serving.version.marked_reason if (serving := adapter.serving) else ""


class NewAdapter(Shape):
    base = s.CharField(max_length=LONGEST_NAME, help_text="A model that is served.")
    name = s.CharField(max_length=LONGEST_ADAPTER)
    EXAMPLE = {"base": "deepseek-r1", "name": "support"}


class Promoted(Shape):
    version = s.UUIDField(help_text="A version of the kind adapter.")
    EXAMPLE = {"version": _ID}


_Line = shape_of(
    "AdapterUsageLine",
    version=s.CharField(),
    requests=s.IntegerField(),
    prompt_tokens=s.IntegerField(),
    completion_tokens=s.IntegerField(),
    cost=s.IntegerField(help_text="Micro-units of the currency."),
)
UsageShape = shape_of("AdapterUsage", days=s.IntegerField(), versions=s.ListField(child=_Line()))


class Adapters(Resource):
    shape = AdapterShape
    volatile = ("version", "loading", "marked")

    def rows(self) -> QuerySet[Adapter]:
        return Adapter.objects.live().filter(tenant=self.url_tenant)

    list = listing(P.VIEW_ADAPTERS, "List a tenant's adapters.", Scope.POOLS_READ)
    retrieve = showing(P.VIEW_ADAPTERS, "Show an adapter.", Scope.POOLS_READ)
    destroy = calling(
        "remove",
        P.MANAGE_ADAPTERS,
        "Remove an adapter: its name serves no longer. Its versions stay in the registry.",
        Scope.POOLS_WRITE,
    )

    @Act(P.MANAGE_ADAPTERS, _WRITE, takes=NewAdapter)
    def create(self, request: Any, tenant: str) -> Response:
        """Create an adapter. It serves once a version is promoted."""
        row = acts.create(self.url_tenant, **self.body(), by=self.actor)
        return self.respond(row, 201)

    @Act(P.MANAGE_ADAPTERS, _WRITE, takes=Promoted, gives=PromotionShape)
    def promote(self, request: Any, **path: Any) -> Response:
        """Have the engines load a version. It serves once all of them have it.

        Until then the version before serves. A version that misses a gate of its pools is refused.
        """
        row, text = self.row(), _("There is no such version of an adapter.")
        own = ModelVersion.objects.of(self.url_tenant.id)
        version = self.named(own, "version", text, pk=self.body()["version"])
        return _shown(acts.promote(row, version, by=self.actor))

    @Act(P.MANAGE_ADAPTERS, _WRITE, gives=PromotionShape)
    def rollback(self, request: Any, **path: Any) -> Response:
        """Have the version serve again that served before this one."""
        return _shown(acts.roll_back(self.row(), by=self.actor))

    @Act(P.MANAGE_ADAPTERS, _WRITE, gives=PromotionShape)
    def cancel(self, request: Any, **path: Any) -> Response:
        """Stop loading a version. The one before serves on."""
        loading = self.row().loading
        if loading is None:
            raise ValidationError(_("No version is being loaded."))
        loading.cancel(by=self.actor)
        return _shown(loading)

    @Act(P.VIEW_ADAPTERS, (Scope.POOLS_READ,), gives=UsageShape)
    def usage(self, request: Any, **path: Any) -> Response:
        """Show what an adapter took in the last 30 days, by version."""
        lines = usage.by_version(self.row())
        return Response({"days": usage.SPAN.days, "versions": [_Line(each).data for each in lines]})


class Promotions(Resource):
    shape = PromotionShape
    volatile = ("step", "reason", "served_at", "ended_at")

    def rows(self) -> QuerySet[AdapterPromotion]:
        own = Adapter.objects.live().filter(tenant=self.url_tenant)
        adapter = first_or_404(own.filter(pk=self.kwargs["adapter"]))
        return adapter.promotions.select_related("version")

    list = listing(
        P.VIEW_ADAPTERS,
        "List the versions of an adapter so far, the latest first.",
        Scope.POOLS_READ,
    )


def _shown(promotion: AdapterPromotion) -> Response:
    return Response(PromotionShape(promotion).data)
