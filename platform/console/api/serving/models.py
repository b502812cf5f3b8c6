"""Models of the platform, which tenants call. A model is served once a pool of it has an engine.

Models, pools and engines are added here or declared in FOREBAY_ENGINES.
"""

from typing import Any

import django_filters as f
from django.db.models import QuerySet
from rest_framework import serializers as s
from rest_framework.response import Response

from console.api.acts import Act, Who, filters, listing, shape_of, showing
from console.api.problem import scope_missing
from console.api.resource import Resource
from console.api.strict_input import Row
from inference.engine_entries import name_problem
from inference.models import Engine, FromFile, Model
from inference.models.served import LONGEST_NAME
from tenants.operator_scopes import OperatorScope as Scope


def is_name(name: str) -> None:
    if problem := name_problem(name):
        raise s.ValidationError(problem)


class DeclaredShape(Row):
    name = s.CharField()
    from_file = s.BooleanField(help_text="Declared in FOREBAY_ENGINES: read-only here.")


ByName = filters(name=f.CharFilter(max_length=LONGEST_NAME))


class DeclaredResource(Resource):
    """A view set of models, pools or engines. Those of the file are changed in the file only."""

    orderings = ("name", "-name", "created_at", "-created_at")
    refusals = {FromFile: (409, "from_file", "")}

    def refuse_engines_below(self, engines: QuerySet[Engine]) -> None:
        """Refuses a key whose scopes open pools, but not the engines that would be removed too.

        Raises Problem.
        """
        key = self.who.operator_key
        if key and Scope.ENGINES_WRITE not in key.scopes and engines.exists():
            raise scope_missing([Scope.ENGINES_WRITE])


NewModel = shape_of("NewModel", name=s.CharField(max_length=LONGEST_NAME, validators=[is_name]))


class ModelShape(DeclaredShape):
    pools: Any = s.StringRelatedField(many=True, help_text="In the order in which they are tried.")
    EXAMPLE = {"name": "deepseek-r1", "pools": ["here", "there"]}


class Models(DeclaredResource):
    shape = ModelShape

    def rows(self) -> QuerySet[Model]:
        return Model.objects.prefetch_related("pools")

    list = listing(Who.OPERATOR, "List the models of the platform.", Scope.POOLS_READ, asks=ByName)
    retrieve = showing(Who.OPERATOR, "Show a model and its pools.", Scope.POOLS_READ)

    @Act(Who.OPERATOR, (Scope.POOLS_WRITE,), takes=NewModel)
    def create(self, request: Any) -> Response:
        """Add a model. It is served once a pool of it has an engine."""
        name = self.body()["name"]
        self.refuse_taken(name)
        return self.respond(Model.add(name, by=self.actor), 201)

    @Act(Who.OPERATOR, (Scope.POOLS_WRITE,))
    def destroy(self, request: Any, **path: Any) -> Response:
        """Remove a model, its pools and engines.

        Waiting requests end with a 503; running ones finish. The audit trail keeps the names. A key
        of an operator also needs `engines:write` if there are engines.
        """
        row = self.row_to_change()
        self.refuse_engines_below(Engine.objects.filter(pool__model=row))
        row.remove(by=self.actor)
        return Response(status=204)
