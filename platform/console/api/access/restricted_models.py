"""Restricted models, and the teams and keys that are granted them."""

from typing import Any

import django_filters as f
from django.utils.translation import gettext as _
from rest_framework import serializers as s
from rest_framework.response import Response

from console.api.acts import Act, filters, listing, shape_of, showing
from console.api.problem import bad_request
from console.api.resource import Resource
from console.api.strict_input import Shape
from tenants import model_access
from tenants.models import ApiKey, RestrictedModel
from tenants.roles import Permission as P


class RestrictedModelShape(Shape):
    id = s.IntegerField()
    name = s.CharField()
    grants = s.SerializerMethodField()
    created_at = s.DateTimeField()
    EXAMPLE = {
        "id": 7,
        "name": "llama-3.1-70b",
        "grants": [
            {"kind": "team", "id": "0192e6a0-5d0b-7c6e-9f6e-1f2a3b4c5d6e", "name": "search"}
        ],
    }

    def get_grants(self, restricted: RestrictedModel) -> list[dict[str, Any]]:
        return [
            {
                "kind": "key" if isinstance(holder, ApiKey) else "team",
                "id": str(holder.pk),
                "name": holder.name,
            }
            for holder in model_access.holders(restricted)
        ]


class Holder(Shape):
    team = s.UUIDField(required=False)
    key = s.UUIDField(required=False)
    EXAMPLE = {"team": "0192e6a0-5d0b-7c6e-9f6e-1f2a3b4c5d6e"}


class RestrictedModels(Resource):
    shape = RestrictedModelShape
    orderings = ("name", "-name", "created_at", "-created_at")

    def rows(self) -> Any:
        return self.url_tenant.restricted_models.all()

    list = listing(
        P.VIEW_TEAMS,
        "List the models that are restricted in a tenant.",
        asks=filters(name=f.CharFilter(max_length=120)),
    )
    retrieve = showing(P.VIEW_TEAMS, "Show a restricted model and who may use it.")

    @Act(P.MANAGE_TEAMS, takes=shape_of("NewRestriction", name=s.CharField(max_length=120)))
    def create(self, request: Any, **path: Any) -> Response:
        """Restrict a model: from now on only those teams and keys may use it that are
        granted it.
        """
        return self.respond(
            model_access.restrict(self.url_tenant, self.body()["name"], by=self.actor), 201
        )

    @Act(P.MANAGE_TEAMS)
    def destroy(self, request: Any, **path: Any) -> Response:
        """Open a model to everybody in the tenant."""
        model_access.open_to_all(self.url_tenant, self.row_to_change().name, by=self.actor)
        return Response(status=204)

    @Act(P.MANAGE_TEAMS, takes=Holder)
    def grant(self, request: Any, **path: Any) -> Response:
        """Grant a model to a team or a key."""
        row = self.row()
        model_access.grant(row, self._holder(), by=self.actor)
        return self.respond(row)

    @Act(P.MANAGE_TEAMS, takes=Holder)
    def withdraw(self, request: Any, **path: Any) -> Response:
        """Withdraw a grant."""
        row = self.row()
        model_access.withdraw(row, self._holder(), by=self.actor)
        return self.respond(row)

    def _holder(self) -> model_access.Holder:
        fields = self.body()
        if len(fields) != 1:
            raise bad_request({"": [_("Name either a team or a key.")]})
        ((kind, pk),) = fields.items()
        rows: Any = self.url_tenant.teams if kind == "team" else self.url_tenant.api_keys.live()
        holder: model_access.Holder = self.named(
            rows, kind, _("There is no such one in this tenant."), pk=pk
        )
        return holder
