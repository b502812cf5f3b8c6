"""A tenant's aliases: names for requests, and the models behind them."""

from typing import Any

import django_filters as f
from django.db.models import QuerySet
from rest_framework import serializers as s
from rest_framework.response import Response

from console.api.acts import Act, calling, filters, listing, shape_of, showing
from console.api.resource import Resource
from console.api.strict_input import Row, Shape
from inference.intake.access import aliasing
from inference.intake.access.aliasing import AliasState
from inference.models import ModelAlias
from inference.models.served import LONGEST_NAME
from tenants.operator_scopes import OperatorScope as Scope
from tenants.roles import Permission as P

_MODEL = "A model that is served to the tenant, or its adapter BASE:NAME."
_EXAMPLE = {"name": "claude-sonnet-4-5", "model": "deepseek-r1"}


class AliasShape(Row):
    name = s.CharField(help_text="The name for requests.")
    model = s.CharField(help_text="The name of what answers.")
    state = s.SerializerMethodField(
        help_text="`serves`; `model_missing`: the model is not served, requests are a 404; "
        "`name_served`: a model has the name of the alias, and answers."
    )
    created_by = s.CharField(help_text="Who set it last.")
    changed_at = s.DateTimeField()
    EXAMPLE = {**_EXAMPLE, "state": "serves"}

    def get_state(self, alias: ModelAlias) -> AliasState:
        return aliasing.state_of(alias)


class NewAlias(Shape):
    name = s.CharField(max_length=LONGEST_NAME)
    model = s.CharField(max_length=LONGEST_NAME, help_text=_MODEL)
    EXAMPLE = _EXAMPLE


_Behind = shape_of("AliasChange", model=s.CharField(max_length=LONGEST_NAME, help_text=_MODEL))


class Aliases(Resource):
    shape = AliasShape
    orderings = ("name", "-name", "created_at", "-created_at")
    volatile = ("state",)

    def rows(self) -> QuerySet[ModelAlias]:
        return self.url_tenant.model_aliases.select_related("tenant")

    list = listing(
        P.VIEW_TEAMS,
        "List a tenant's aliases.",
        Scope.POOLS_READ,
        asks=filters(name=f.CharFilter(max_length=LONGEST_NAME)),
    )
    retrieve = showing(P.VIEW_TEAMS, "Show an alias.", Scope.POOLS_READ)
    destroy = calling(
        "remove",
        P.MANAGE_TEAMS,
        "Remove an alias: within a second requests to the name are a 404.",
        Scope.POOLS_WRITE,
    )

    @Act(P.MANAGE_TEAMS, (Scope.POOLS_WRITE,), takes=NewAlias)
    def create(self, request: Any, tenant: str) -> Response:
        """Create an alias for a model that the tenant may use."""
        fields = self.body()
        self.refuse_taken(fields["name"])
        return self.respond(aliasing.create(self.url_tenant, **fields, by=self.actor), 201)

    @Act(P.MANAGE_TEAMS, (Scope.POOLS_WRITE,), takes=_Behind)
    def partial_update(self, request: Any, **path: Any) -> Response:
        """Let another model answer, in all processes within a second."""
        row, fields = self.row_to_change(), self.body()
        return self.respond(aliasing.change(row, by=self.actor, **fields) if fields else row)
