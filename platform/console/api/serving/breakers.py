"""Circuit breakers of engines: state, history, and an operator's override."""

from typing import Any, get_args

from django.db.models import QuerySet
from rest_framework import serializers as s
from rest_framework.response import Response

from console.api.acts import Act, Who
from console.api.resource import Resource
from console.api.strict_input import Shape
from inference.engines.health.breaker_override import Wanted, breakers_of, override
from inference.engines.health.breakers import Phase
from inference.models import Engine
from inference.queue.client import client
from tenants.operator_scopes import OperatorScope as Scope


class WantedState(Shape):
    state = s.ChoiceField(
        get_args(Wanted),
        help_text="open and closed hold whatever happens; automatic closes it and counts anew.",
    )


class ChangeShape(Shape):
    at = s.DateTimeField(source="when")
    state = s.CharField(help_text="open, half_open, closed, forced open, forced closed, automatic.")
    reason = s.CharField()
    by = s.CharField(help_text="The operator; empty if requests caused the change.")
    EXAMPLE = {"state": "open", "reason": "it answered 500"}


class BreakerShape(Shape):
    engine = s.CharField(help_text="The engine's name.")
    state = s.ChoiceField(sorted(Phase), source="phase")
    forced = s.BooleanField(help_text="An operator has set the state.")
    failures = s.IntegerField(help_text="Failures in a row.")
    reason = s.CharField(help_text="Reason of the last failure or change.")
    since = s.DateTimeField(allow_null=True, help_text="null if there has been no failure.")
    due_in_s = s.FloatField(help_text="Seconds until its probe may be sent; 0 unless it is open.")
    history = ChangeShape(many=True, help_text="The last 50 changes, the latest first.")


class Breakers(Resource):
    shape = BreakerShape
    volatile = ("state", "forced", "failures", "reason", "since", "due_in_s", "history")

    def rows(self) -> QuerySet[Engine]:
        return Engine.objects.all()

    @Act(Who.OPERATOR, (Scope.ENGINES_READ,))
    def retrieve(self, request: Any, **path: Any) -> Response:
        """Show an engine's circuit breaker and its history."""
        return self._breaker(self.row())

    @Act(Who.OPERATOR, (Scope.ENGINES_WRITE,), takes=WantedState)
    def override(self, request: Any, **path: Any) -> Response:
        """Keep an engine's breaker open or closed, or make it automatic."""
        state, row = self.body()["state"], self.row()
        override(client(), row.name, state, by=self.actor)
        return self._breaker(row)

    def _breaker(self, engine: Engine) -> Response:
        return self.respond(breakers_of(client(), [engine.name])[engine.name])
