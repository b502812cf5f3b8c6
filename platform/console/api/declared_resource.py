"""Base classes of models, pools and engines, added here or declared in FOREBAY_ENGINES."""

from typing import Any

import django_filters as f
from django.db.models import QuerySet
from django.utils.translation import gettext as _
from rest_framework import serializers as s
from rest_framework.response import Response

from console.api.problem import Problem
from console.api.requester import scope_missing
from console.api.resource import Resource
from console.api.strict_input import Shape
from inference.models import Engine, FromFile
from inference.models.served import LONGEST_NAME, Declared
from inference.pools import name_problem
from tenants.operator_scopes import OperatorScope


def is_name(name: str) -> None:
    if problem := name_problem(name):
        raise s.ValidationError(problem)


class NameFilter(f.FilterSet):
    name = f.CharFilter(max_length=LONGEST_NAME)


class DeclaredShape(Shape):
    id = s.UUIDField()
    name = s.CharField()
    from_file = s.BooleanField(help_text="Declared in FOREBAY_ENGINES: read-only here.")
    created_at = s.DateTimeField()


class DeclaredResource(Resource):
    """A view set of models, pools or engines."""

    table: type[Declared]
    orderings = ("name", "-name", "created_at", "-created_at")

    def refuse_taken(self, name: str) -> None:
        if self.table._default_manager.filter(name=name).exists():
            raise Problem(409, "name_taken", _("This name is taken."))

    def refuse_engines_below(self, engines: QuerySet[Engine]) -> None:
        """Refuses a key whose scopes open pools, but not the engines that would be removed too.

        Raises Problem.
        """
        key = self.who.operator_key
        if key and OperatorScope.ENGINES_WRITE not in key.scopes and engines.exists():
            raise scope_missing([OperatorScope.ENGINES_WRITE])

    def apply(self, row: Any, verb: str, status: int = 200, **fields: Any) -> Response:
        """Call the row's method `verb`. Rows declared in the file are changed in the file only."""
        try:
            changed = getattr(row, verb)(by=self.actor, **fields)
        except FromFile as problem:
            raise Problem(409, "from_file", str(problem)) from None
        return Response(status=204) if changed is None else self.respond(changed, status)
