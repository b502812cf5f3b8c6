"""Models of the platform, which tenants call. A model is served once a pool of it has an engine.

Models, pools and engines are added here or declared in FOREBAY_ENGINES.
"""

from typing import Any, ClassVar, cast

import django_filters as f
from django.db.models import QuerySet, Value
from django.utils.translation import gettext_lazy as _
from rest_framework import serializers as s
from rest_framework.response import Response

from console.api.acts import Act, Who, filters, listing, showing
from console.api.problem import scope_missing
from console.api.resource import Resource
from console.api.strict_input import Row, Shape
from inference.engine_entries import name_problem
from inference.models import Engine, FromFile, Model
from inference.models.served import LONGEST_NAME
from tenants.models import Tenant
from tenants.operator_scopes import OperatorScope as Scope

HIDDEN = "-"  # is no name of a tenant


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


class ModelChange(Shape):
    only_for = s.CharField(
        max_length=60,
        required=False,
        allow_null=True,
        help_text="The tenant that alone may use it; null: all tenants.",
    )
    EXAMPLE: ClassVar[dict[str, Any]] = {"only_for": None}


class NewModel(ModelChange):
    name = s.CharField(max_length=LONGEST_NAME, validators=[is_name])
    EXAMPLE = {"name": "deepseek-r1", "only_for": None}


class ModelShape(DeclaredShape):
    pools: Any = s.StringRelatedField(many=True, help_text="In the order in which they are tried.")
    only_for = s.SerializerMethodField(
        help_text="The name of the tenant that alone may use it, `-` for keys of operators without "
        "`limits:read`; null: all tenants."
    )
    EXAMPLE = {"name": "deepseek-r1", "pools": ["here", "there"], "only_for": None}

    def get_only_for(self, model: Model) -> str | None:
        if model.only_for and getattr(model, "hides_tenant", False):
            return HIDDEN
        rows = Tenant.objects.filter(pk=model.only_for) if model.only_for else Tenant.objects.none()
        return rows.values_list("name", flat=True).first()


class Models(DeclaredResource):
    shape = ModelShape

    def rows(self) -> QuerySet[Model]:
        hides = Value(not self._sees_tenants)
        rows = Model.objects.annotate(hides_tenant=hides).prefetch_related("pools")
        return cast("QuerySet[Model]", rows)

    @property
    def _sees_tenants(self) -> bool:
        key = self.who.operator_key
        return key is None or Scope.LIMITS_READ in key.scopes

    list = listing(Who.OPERATOR, "List the models of the platform.", Scope.POOLS_READ, asks=ByName)
    retrieve = showing(Who.OPERATOR, "Show a model and its pools.", Scope.POOLS_READ)

    @Act(Who.OPERATOR, (Scope.POOLS_WRITE,), takes=NewModel)
    def create(self, request: Any) -> Response:
        """Add a model. It is served once a pool of it has an engine.

        For `only_for` a key of an operator also needs `limits:read`.
        """
        fields = self.body()
        self.refuse_taken(fields["name"])
        return self.respond(Model.add(**self._with_tenant(fields), by=self.actor), 201)

    @Act(Who.OPERATOR, (Scope.POOLS_WRITE,), takes=ModelChange)
    def partial_update(self, request: Any, **path: Any) -> Response:
        """Change for whom a model is. For other tenants, it does not exist."""
        fields, row = self._with_tenant(self.body()), self.row_to_change()
        return self.respond(row.change(by=self.actor, **fields))

    def _with_tenant(self, fields: dict[str, Any]) -> dict[str, Any]:
        """Returns the fields with the id of the tenant that they name. Raises Problem."""
        if name := fields.get("only_for"):
            if not self._sees_tenants:  # the answer would say whether there is such a tenant
                raise scope_missing([Scope.LIMITS_READ])
            text = _("There is no such tenant.")
            fields["only_for"] = self.named(Tenant.objects, "only_for", text, name=name).pk
        return fields

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
