"""Restricted models, and the teams and keys that are granted them."""

from typing import Any

import django_filters as f
from django.utils.translation import gettext as _
from rest_framework import serializers as s
from rest_framework.response import Response

from console.api.problem import bad_request
from console.api.resource import Resource
from console.api.strict_input import Shape
from tenants import model_access
from tenants.models import ApiKey, RestrictedModel
from tenants.roles import Permission as P


class GrantShape(Shape):
    kind = s.ChoiceField(["team", "key"])
    id = s.UUIDField()
    name = s.CharField()


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
        "created_at": "2026-01-31T08:00:00Z",
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


class NewRestriction(Shape):
    name = s.CharField(max_length=120)
    EXAMPLE = {"name": "llama-3.1-70b"}


class Holder(Shape):
    team = s.UUIDField(required=False)
    key = s.UUIDField(required=False)
    EXAMPLE = {"team": "0192e6a0-5d0b-7c6e-9f6e-1f2a3b4c5d6e"}


class RestrictionFilter(f.FilterSet):
    name = f.CharFilter(max_length=120)


class RestrictedModels(Resource):
    needs = {
        "list": P.VIEW_TEAMS,
        "create": P.MANAGE_TEAMS,
        "retrieve": P.VIEW_TEAMS,
        "destroy": P.MANAGE_TEAMS,
        "grant": P.MANAGE_TEAMS,
        "withdraw": P.MANAGE_TEAMS,
    }
    shape = RestrictedModelShape
    takes = {"create": NewRestriction, "grant": Holder, "withdraw": Holder}
    asks = {"list": RestrictionFilter}
    orderings = ("name", "-name", "created_at", "-created_at")

    def list(self, request: Any, tenant: str) -> Response:
        """List the models that are restricted in a tenant."""
        return self.respond_page(self.url_tenant.restricted_models.all())

    def create(self, request: Any, tenant: str) -> Response:
        """Restrict a model: from now on only those teams and keys may use it that are
        granted it.
        """
        return self.respond(
            model_access.restrict(self.url_tenant, self.body()["name"], by=self.actor), 201
        )

    def retrieve(self, request: Any, tenant: str, model: int) -> Response:
        """Show a restricted model and who may use it."""
        return self.respond(self._model(model))

    def destroy(self, request: Any, tenant: str, model: int) -> Response:
        """Open a model to everybody in the tenant."""
        row = self.get_for_change(self.url_tenant.restricted_models.all(), pk=model)
        model_access.open_to_all(self.url_tenant, row.name, by=self.actor)
        return Response(status=204)

    def grant(self, request: Any, tenant: str, model: int) -> Response:
        """Grant a model to a team or a key."""
        row = self._model(model)
        model_access.grant(row, self._holder(), by=self.actor)
        return self.respond(row)

    def withdraw(self, request: Any, tenant: str, model: int) -> Response:
        """Withdraw a grant."""
        row = self._model(model)
        model_access.withdraw(row, self._holder(), by=self.actor)
        return self.respond(row)

    def _model(self, model: int) -> RestrictedModel:
        row: RestrictedModel = self.get_or_404(self.url_tenant.restricted_models.all(), pk=model)
        return row

    def _holder(self) -> model_access.Holder:
        fields = self.body()
        if len(fields) != 1:
            raise bad_request({"": [_("Name either a team or a key.")]})
        ((kind, pk),) = fields.items()
        rows: Any = self.url_tenant.teams if kind == "team" else self.url_tenant.api_keys.live()
        holder: model_access.Holder | None = rows.filter(pk=pk).first()
        if holder is None:
            raise bad_request({kind: [_("There is no such one in this tenant.")]})
        return holder
