"""Circuit breakers of engines: state, history, and an operator's override."""

from typing import Any, ClassVar, get_args
from uuid import UUID

from rest_framework import serializers as s
from rest_framework.response import Response

from console.api.problem import redis_or_503
from console.api.resource import Resource, Who
from console.api.serving.engines import READING, WRITING
from console.api.strict_input import Shape
from inference.engines.health.breaker_override import Breaker, Wanted, breakers_of, override
from inference.engines.health.breakers import Phase
from inference.models import Engine
from inference.queue.client import client


class WantedState(Shape):
    state = s.ChoiceField(
        get_args(Wanted),
        help_text="open and closed hold whatever happens; automatic closes it and counts anew.",
    )
    EXAMPLE: ClassVar[dict[str, Any]] = {"state": "open"}


class ChangeShape(Shape):
    at = s.DateTimeField(source="when")
    state = s.CharField(help_text="open, half_open, closed, forced open, forced closed, automatic.")
    reason = s.CharField()
    by = s.CharField(help_text="The operator; empty if requests caused the change.")
    EXAMPLE: ClassVar[dict[str, Any]] = {
        "at": "2026-01-31T08:00:00Z",
        "state": "open",
        "reason": "it answered 500",
        "by": "",
    }


class BreakerShape(Shape):
    engine = s.CharField(help_text="The engine's name.")
    state = s.ChoiceField(sorted(Phase), source="phase")
    forced = s.BooleanField(help_text="An operator has set the state.")
    failures = s.IntegerField(help_text="Failures in a row.")
    reason = s.CharField(help_text="Reason of the last failure or change.")
    since = s.DateTimeField(allow_null=True, help_text="null if there has been no failure.")
    due_in_s = s.FloatField(help_text="Seconds until its probe may be sent; 0 unless it is open.")
    history = ChangeShape(many=True, help_text="The last 50 changes, the latest first.")
    EXAMPLE: ClassVar[dict[str, Any]] = {
        "engine": "gpu-1",
        "state": "open",
        "forced": False,
        "failures": 5,
        "reason": "it answered 500",
        "since": "2026-01-31T08:00:00Z",
        "due_in_s": 12.5,
        "history": [ChangeShape.EXAMPLE],
    }


class Breakers(Resource):
    needs = {"retrieve": Who.OPERATOR, "override": Who.OPERATOR}
    operator_scopes = {"retrieve": READING, "override": WRITING}
    shape = BreakerShape
    takes = {"override": WantedState}
    volatile = ("state", "forced", "failures", "reason", "since", "due_in_s", "history")

    def retrieve(self, request: Any, engine: UUID) -> Response:
        """Show an engine's circuit breaker and its history."""
        return self.respond(self._breaker(self.get_or_404(Engine.objects.all(), pk=engine)))

    def override(self, request: Any, engine: UUID) -> Response:
        """Keep an engine's breaker open or closed, or make it automatic."""
        state, row = self.body()["state"], self.get_or_404(Engine.objects.all(), pk=engine)
        redis_or_503(lambda: override(client(), row.name, state, by=self.actor))
        return self.respond(self._breaker(row))

    def _breaker(self, engine: Engine) -> Breaker:
        return redis_or_503(lambda: breakers_of(client(), [engine.name]))[engine.name]
