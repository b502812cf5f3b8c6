"""Models of the platform, which tenants call. A model is served once a pool of it has an engine."""

from typing import Any
from uuid import UUID

from rest_framework import serializers as s
from rest_framework.response import Response

from console.api.declared_resource import DeclaredResource, DeclaredShape, NameFilter, is_name
from console.api.resource import Who
from console.api.strict_input import Shape
from inference.models import Engine, Model
from inference.models.served import LONGEST_NAME
from tenants.operator_scopes import OperatorScope as Scope


class NewModel(Shape):
    name = s.CharField(max_length=LONGEST_NAME, validators=[is_name])
    EXAMPLE = {"name": "deepseek-r1"}


class ModelShape(DeclaredShape):
    pools = s.SerializerMethodField()
    EXAMPLE = {
        "id": "0192e6a0-5d0b-7c6e-9f6e-1f2a3b4c5d6e",
        "name": "deepseek-r1",
        "from_file": False,
        "created_at": "2026-01-31T08:00:00Z",
        "pools": ["here", "there"],
    }

    def get_pools(self, model: Model) -> list[str]:
        """Returns the names of the pools in the order in which they are tried."""
        return [pool.name for pool in model.pools.all()]


class Models(DeclaredResource):
    needs = {
        "list": Who.OPERATOR,
        "create": Who.OPERATOR,
        "retrieve": Who.OPERATOR,
        "destroy": Who.OPERATOR,
    }
    operator_scopes = dict.fromkeys(("list", "retrieve"), (Scope.POOLS_READ,))
    operator_scopes |= dict.fromkeys(("create", "destroy"), (Scope.POOLS_WRITE,))
    table = Model
    shape = ModelShape
    takes = {"create": NewModel}
    asks = {"list": NameFilter}

    def list(self, request: Any) -> Response:
        """List the models of the platform."""
        return self.respond_page(Model.objects.prefetch_related("pools"))

    def create(self, request: Any) -> Response:
        """Add a model. It is served once a pool of it has an engine."""
        name = self.body()["name"]
        self.refuse_taken(name)
        return self.respond(Model.add(name, by=self.actor), 201)

    def retrieve(self, request: Any, served_model: UUID) -> Response:
        """Show a model and its pools."""
        return self.respond(self.get_or_404(Model.objects.all(), pk=served_model))

    def destroy(self, request: Any, served_model: UUID) -> Response:
        """Remove a model, its pools and engines.

        Waiting requests end with a 503; running ones finish. The audit trail keeps the names. A key
        of an operator also needs `engines:write` if there are engines.
        """
        row = self.get_for_change(Model.objects.all(), pk=served_model)
        self.refuse_engines_below(Engine.objects.filter(pool__model=row))
        return self.apply(row, "remove")
