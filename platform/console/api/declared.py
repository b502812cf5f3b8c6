"""What models, pools and engines have in common: names once, and a file that has its own way."""

from typing import Any

import django_filters as f
from django.db.models import QuerySet
from django.utils.translation import gettext as _
from rest_framework import serializers as s
from rest_framework.response import Response

from console.api.problem import Problem
from console.api.requester import scope_missing
from console.api.resource import Resource
from console.api.strict import Shape
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
    """A view set of one of the three."""

    table: type[Declared]
    orderings = ("name", "-name", "created_at", "-created_at")

    def refuse_taken(self, name: str) -> None:
        if self.table._default_manager.filter(name=name).exists():
            raise Problem(409, "name_taken", _("This name is taken."))

    def refuse_engines_below(self, engines: QuerySet[Engine]) -> None:
        """Refuses a key whose scopes reach pools, and not the engines that would go with one.

        Raises Problem.
        """
        key = self.who.operator_key
        if key and OperatorScope.ENGINES_WRITE not in key.scopes and engines.exists():
            raise scope_missing([OperatorScope.ENGINES_WRITE])

    def done(self, row: Any, verb: str, status: int = 200, **given: Any) -> Response:
        """What is from the file is changed in the file."""
        try:
            changed = getattr(row, verb)(by=self.by, **given)
        except FromFile as problem:
            raise Problem(409, "from_file", str(problem)) from None
        return Response(status=204) if changed is None else self.one(changed, status)
