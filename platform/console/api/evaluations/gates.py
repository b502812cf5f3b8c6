"""Gates of a pool: what a new version must reach in an evaluation before it may serve there."""

from typing import Any, ClassVar

from django.db.models import QuerySet
from rest_framework import serializers as s
from rest_framework.response import Response

from console.api.acts import Act, Who, calling, listing, showing
from console.api.problem import not_found
from console.api.resource import Resource
from console.api.strict_input import Row, Shape
from inference.evaluation.figures import METRICS
from inference.models import EvaluationGate, Pool
from inference.models.evaluations.evaluation_gate import Bound
from inference.models.prompt_template import LONGEST_NAME
from tenants.operator_scopes import OperatorScope as Scope

_METRICS = sorted({metric for metrics in METRICS.values() for metric in metrics})


class NewGate(Shape):
    task_set_name = s.CharField(max_length=LONGEST_NAME, help_text="For people: the hash decides.")
    sha256 = s.CharField(max_length=64, help_text="Of the task set, as its page and reports say.")
    metric = s.ChoiceField(_METRICS)
    bound = s.ChoiceField(
        Bound.choices,
        help_text="`relative`: `limit` is the percent by which the new version may be worse than "
        "the one that serves. `absolute`: `limit` is a figure.",
    )
    limit = s.FloatField()
    EXAMPLE: ClassVar[dict[str, Any]] = {
        "task_set_name": "capitals",
        "sha256": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
        "metric": "accuracy",
        "bound": "relative",
        "limit": 2.0,
    }


class GateShape(Row):
    task_set_name = s.CharField()
    sha256 = s.CharField()
    metric = s.CharField()
    bound = s.ChoiceField(Bound.choices)
    limit = s.FloatField()
    EXAMPLE = NewGate.EXAMPLE


class Gates(Resource):
    shape = GateShape
    orderings = ("created_at", "-created_at")

    def rows(self) -> QuerySet[EvaluationGate]:
        return self._pool().gates.select_related("pool")

    list = listing(Who.OPERATOR, "List the gates of a pool.", Scope.POOLS_READ)
    retrieve = showing(Who.OPERATOR, "Show a gate.", Scope.POOLS_READ)
    destroy = calling("remove", Who.OPERATOR, "Remove a gate.", Scope.POOLS_WRITE)

    @Act(Who.OPERATOR, (Scope.POOLS_WRITE,), takes=NewGate)
    def create(self, request: Any, **path: Any) -> Response:
        """Add a gate to a pool.

        A new version of its engines is refused unless the latest report about that version
        reaches the bound. Without a report it is refused too.
        """
        gate = EvaluationGate.add(self._pool(), **self.body(), by=self.actor)
        return self.respond(gate, 201)

    def _pool(self) -> Pool:
        pool: Pool | None = Pool.objects.filter(pk=self.kwargs["pool"]).first()
        if pool is None:
            raise not_found()
        return pool
