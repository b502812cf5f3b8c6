"""Pools: each is one queue of a model, and the engines that serve it."""

from typing import Any, ClassVar

from django.db.models import QuerySet
from django.utils.translation import gettext as _
from rest_framework import serializers as s
from rest_framework.response import Response

from console.api.acts import Act, Who, listing, showing
from console.api.problem import denied
from console.api.serving.models import ByName, DeclaredResource, DeclaredShape, is_name
from console.api.strict_input import Shape
from inference.models import Engine, Model, Pool
from inference.models.served import LONGEST_NAME
from inference.pool_policy import LONGEST_MS, RouteCondition
from inference.queue.limits import kept_free
from tenants.operator_scopes import OperatorScope as Scope

_MOST = 10_000
_ORDER_FIELDS = frozenset({"position", "condition", "overflow_after_ms"})  # when a pool is tried


class PoolChange(Shape):
    position = s.IntegerField(
        min_value=0,
        max_value=_MOST,
        required=False,
        help_text="Pools are tried lowest first.",
    )
    condition = s.ChoiceField(
        list(map(str, RouteCondition)),
        required=False,
        help_text="`overflow`: where the wait in the pools before it is too long. "
        "`failover`: where none of them is available.",
    )
    overflow_after_ms = s.IntegerField(
        min_value=0,
        max_value=LONGEST_MS,
        required=False,
        help_text="With `overflow`: the expected wait from which it takes requests.",
    )
    limits = s.DictField(
        required=False,
        help_text="How many requests of a class may wait (`waiting`), and how long they may be "
        "expected to (`wait_s`). Beyond that the answer is 503. `share`: of what is handed out, "
        "once the class has had no turn for `share_after_s` seconds; `ageing_s`: each time so long "
        "without one it ranks one class higher; `reserved`: slots that lower classes leave free, "
        "`reserved_vip`: those in which only tenants with a weight of 2 or more begin, "
        "`headroom`: those that they do while it has had requests in the last minute, and that a "
        "tenant with more than its part leaves to others; of `realtime` the root of the pool's "
        "slots less one where neither is set; `lower_slots`: the most that lower classes have in "
        "that time.",
    )
    window = s.DictField(
        required=False,
        help_text="When batches may use the pool: `hours` in the time zone of their tenant, "
        "`ramp_minutes`, and how many lines of a batch run `outside`. Empty: as the installation "
        "says.",
    )
    lending = s.DictField(
        required=False,
        help_text="How the pool lends engines to jobs: `return_s`, the seconds that a job has to "
        "give a GPU back, how many engines are always `awake` (1), whether one `spare` is loaded "
        "(true, false or auto), and `hours` in `time_zone`. Empty: it lends none.",
    )
    EXAMPLE: ClassVar[dict[str, Any]] = {"position": 0}


class NewPool(PoolChange):
    name = s.CharField(max_length=LONGEST_NAME, validators=[is_name])
    model = s.CharField(max_length=LONGEST_NAME, help_text="The name of a model.")
    EXAMPLE = {"name": "here", "model": "deepseek-r1", "condition": "always"}


class PoolShape(DeclaredShape):
    model = s.CharField(source="model.name")
    position = s.IntegerField()
    condition = s.CharField()
    overflow_after_ms = s.IntegerField()
    limits = s.DictField()
    window = s.DictField()
    lending = s.DictField()
    kept_free = s.SerializerMethodField(
        help_text="Slots that lower classes leave free, by class, while it has had requests lately."
    )
    engines: Any = s.StringRelatedField(many=True)
    EXAMPLE = {
        "name": "here",
        "model": "deepseek-r1",
        "condition": "overflow",
        "overflow_after_ms": 2000,
        "limits": {"realtime": {"waiting": 1000, "wait_s": 60, "reserved": 2}},
        "window": {"hours": "22:00-06:00", "ramp_minutes": 30, "outside": 2},
        "lending": {"return_s": 25, "hours": "22:00-06:00", "time_zone": "Europe/Berlin"},
        "kept_free": {"realtime": 2},
        "engines": ["gpu-1", "gpu-2"],
    }

    def get_kept_free(self, pool: Pool) -> dict[str, int]:
        return kept_free(pool.name)


class Pools(DeclaredResource):
    shape = PoolShape

    def rows(self) -> QuerySet[Pool]:
        return Pool.objects.select_related("model").prefetch_related("engines")

    list = listing(Who.OPERATOR, "List the pools of all models.", Scope.POOLS_READ, asks=ByName)
    retrieve = showing(Who.OPERATOR, "Show a pool and its engines.", Scope.POOLS_READ)

    @Act(Who.OPERATOR, (Scope.POOLS_WRITE,), takes=NewPool)
    def create(self, request: Any) -> Response:
        """Add a pool to a model. It serves one model, once it has an engine."""
        fields = self.body()
        self.refuse_taken(fields["name"])
        text = _("There is no such model.")
        model = self.named(Model.objects, "model", text, name=fields.pop("model"))
        return self.respond(Pool.add(model, **fields, by=self.actor), 201)

    @Act(Who.OPERATOR, (Scope.POOLS_WRITE,), takes=PoolChange)
    def partial_update(self, request: Any, **path: Any) -> Response:
        """Change when a pool takes requests, how many may wait, and whether it lends engines."""
        row, fields = self.row_to_change(), self.body()
        self._refuse_routing_by_key(row, fields)
        return self.respond(row.change(by=self.actor, **fields))

    @Act(Who.OPERATOR, (Scope.POOLS_WRITE,))
    def destroy(self, request: Any, **path: Any) -> Response:
        """Remove a pool and its engines.

        Waiting requests go to another pool of its model, or end with a 503; running ones finish. A
        key of an operator also needs `engines:write` if the pool has engines.
        """
        row = self.row_to_change()
        self.refuse_engines_below(row.engines.all())
        row.remove(by=self.actor)
        return Response(status=204)

    def _refuse_routing_by_key(self, pool: Pool, fields: dict[str, Any]) -> None:
        """Refuses a key that would change when requests go to a hosted engine. Raises Problem."""
        changed = {
            name for name in _ORDER_FIELDS & fields.keys() if fields[name] != getattr(pool, name)
        }
        hosted = Engine.objects.filter(pool__model=pool.model_id, hosted=True)
        if self.who.operator_key and changed and hosted.exists():
            text = _(
                "Only a person decides whether requests leave this installation: sign in to the "
                "console to change when the pools of a model with a hosted engine are tried."
            )
            raise denied(text, "person_needed")
