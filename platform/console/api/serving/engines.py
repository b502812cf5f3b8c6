"""Engines: added, changed, drained and removed while the platform runs."""

from functools import cached_property
from typing import Any, ClassVar

from django.db.models import QuerySet
from django.utils.translation import gettext as _
from drf_spectacular.utils import extend_schema_field
from redis import RedisError
from rest_framework import serializers as s
from rest_framework.fields import empty
from rest_framework.response import Response

from console.api.acts import Act, Who, calling, listing, showing
from console.api.document.examples import of_answer
from console.api.problem import denied
from console.api.requester import Requester
from console.api.serving.models import ByName, DeclaredResource, DeclaredShape, is_name
from console.api.strict_input import Shape
from console.serving import pool_lines
from inference.engine_entries import AUTO, HOSTED, MOST_SLOTS, SLOTS
from inference.engines import KINDS
from inference.engines.health.reachability import Condition, engine_state, state_unless_draining
from inference.lending.borrowers import borrowers
from inference.models import Engine, Job, Pool
from inference.models.served import LONGEST_NAME
from inference.queue.engine_window import EngineFigures
from inference.queue.occupancy import Occupancy, occupancy
from inference.registry.checking import OPTIONS, check_fields, with_server
from infrastructure.url_form import url_problem
from tenants.operator_scopes import OperatorScope as Scope

_EXAMPLE = {
    "url": "http://gpu-1:8000/v1",
    "slots": 64,
    "hosted": False,
    "options": {"model": "deepseek-ai/DeepSeek-R1", "context_length": 65536},
}
_FIRST = "Time from the receipt of a request to the first token of its stream."
_OPTIONS = f"As in an entry of FOREBAY_ENGINES: {', '.join(sorted(OPTIONS))}."


def _is_url(url: str) -> None:
    if problem := url_problem(url):
        raise s.ValidationError(problem)


@extend_schema_field(
    {"oneOf": [{"type": "integer", "minimum": 1, "maximum": MOST_SLOTS}, {"enum": [AUTO]}]}
)
class SlotsField(s.IntegerField):
    """A number, or "auto": the engine's own number."""

    words = (AUTO,)

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(min_value=1, max_value=MOST_SLOTS, **kwargs)

    def run_validation(self, data: Any = empty) -> Any:
        return data if data in self.words else super().run_validation(data)


class EngineChange(Shape):
    url = s.CharField(max_length=500, validators=[_is_url], required=False)
    api_key = s.CharField(
        max_length=4096,
        required=False,
        allow_blank=True,
        help_text="Encrypted; never shown.",
    )
    slots = SlotsField(
        required=False, help_text='Answers at the same time; "auto": the engine\'s own number.'
    )
    hosted = s.BooleanField(
        required=False,
        help_text="A hosted service: not for tenants that are local-only.",
    )
    options = s.DictField(required=False, help_text=_OPTIONS)
    EXAMPLE: ClassVar[dict[str, Any]] = {"slots": 128}


class NewEngine(EngineChange):
    name = s.CharField(max_length=LONGEST_NAME, validators=[is_name])
    pool = s.CharField(max_length=LONGEST_NAME, help_text="The name of a pool.")
    kind = s.ChoiceField(sorted(KINDS))
    url = s.CharField(
        max_length=500,
        validators=[_is_url],
        required=False,
        help_text="Left out for a server that Forebay starts: options.launch = {model: FILE}, "
        "a GGUF file in a folder of FOREBAY_MODELS, with the kind llama_cpp.",
    )
    EXAMPLE = {"name": "gpu-1", "pool": "here", "kind": "vllm", **_EXAMPLE}


class EngineFailureShape(Shape):
    at = s.DateTimeField(source="failed_at")
    status = s.IntegerField(source="failure.status", help_text="The status that the client got.")
    code = s.CharField(source="failure.code")
    reason = s.CharField(source="failure.reason", help_text="For operators; never a text.")


class EngineFiguresShape(Shape):
    """Figures measured by an engine's workers, of the last five minutes unless stated."""

    requests = s.IntegerField(help_text="Requests that ended here, or went on to another engine.")
    failed = s.IntegerField(
        source="errors", help_text="Failures of the engine, not of its clients."
    )
    tokens_per_second = s.FloatField(help_text="Tokens of answers per second, in the last minute.")
    tokens_per_second_15m = s.FloatField()
    ttft_p50_ms = s.IntegerField(source="ttft_p50", allow_null=True, help_text=_FIRST)
    ttft_p95_ms = s.IntegerField(source="ttft_p95", allow_null=True)
    wait_p50_ms = s.IntegerField(source="queue_p50", allow_null=True, help_text="Queueing time.")
    wait_p95_ms = s.IntegerField(source="queue_p95", allow_null=True)
    last_error = s.SerializerMethodField(help_text="The last error of the last day.")
    EXAMPLE = {"last_error": None}

    @extend_schema_field(EngineFailureShape(allow_null=True))
    def get_last_error(self, figures: EngineFigures) -> Any:
        return EngineFailureShape(figures).data if figures.failure else None


class EngineShape(DeclaredShape):
    model = s.CharField(source="pool.model.name")
    pool = s.CharField(source="pool.name")
    kind = s.CharField()
    url = s.CharField(
        source="shown_url", help_text="Without a user name, a password and a query. Sent back, "
        "it changes none of them."
    )  # fmt: skip
    has_api_key = s.SerializerMethodField()
    slots = s.IntegerField(help_text="The number in force now.")
    auto_slots = s.BooleanField(help_text="Whether the number follows the engine's own.")
    hosted = s.BooleanField()
    options = s.DictField()
    draining = s.BooleanField()
    resting = s.BooleanField(help_text="Whether it drains to save energy, or to be lent.")
    lent_since = s.DateTimeField(
        allow_null=True, help_text="Since when its GPU is lent to jobs; else null."
    )
    lent_to = s.SerializerMethodField(help_text="The job on its GPU; null if none is known.")
    returning_since = s.DateTimeField(
        allow_null=True,
        help_text="Since when it is asked back, until its server is ready again; else null.",
    )
    last_return_s = s.FloatField(
        allow_null=True, help_text="How many seconds that took the last time; else null."
    )
    state = s.SerializerMethodField(
        help_text="starting, ready, loading, draining or down, as this process sees it."
    )
    state_reason = s.SerializerMethodField(
        help_text="Why it is starting (loading, or how its last server ended) or down; else empty."
    )
    starting_since = s.SerializerMethodField(help_text="Start of a server of Forebay.")
    down_since = s.SerializerMethodField()
    running = s.SerializerMethodField(
        help_text="Requests that it answers now; null if Redis does not answer."
    )
    figures = s.SerializerMethodField(help_text="null if Redis does not answer.")
    EXAMPLE = {
        **_EXAMPLE,
        "name": "gpu-1",
        "kind": "vllm",
        "has_api_key": False,
        "resting": False,
        "lent_since": None,
        "lent_to": None,
        "returning_since": None,
        "last_return_s": 31.4,
        "state": "ready",
        "state_reason": "",
        "starting_since": None,
        "down_since": None,
        "running": 3,
        "figures": of_answer(EngineFiguresShape()),
    }

    def get_has_api_key(self, engine: Engine) -> bool:
        return bool(engine.api_key)

    def get_state(self, engine: Engine) -> str:
        return engine_state(engine).condition.value

    def get_state_reason(self, engine: Engine) -> str:
        now = engine_state(engine)
        return now.detail or now.cause.value

    def get_starting_since(self, engine: Engine) -> str | None:
        return _since(engine, Condition.STARTING)

    def get_down_since(self, engine: Engine) -> str | None:
        return _since(engine, Condition.DOWN)

    def get_lent_to(self, engine: Engine) -> str | None:
        if not engine.lent_since:
            return None
        job = self._borrowers.get(engine.name)
        return job.public_id if job else None

    def get_running(self, engine: Engine) -> int | None:
        occupancy = self._occupancy.get(engine.pool.name)
        return occupancy.by_engine[engine.name] if occupancy else None

    @extend_schema_field(EngineFiguresShape(allow_null=True))
    def get_figures(self, engine: Engine) -> Any:
        figures = pool_lines.figures_of(self._figures, engine.name)
        return EngineFiguresShape(figures).data if figures else None

    @cached_property
    def _borrowers(self) -> dict[str, Job]:
        """Returns the jobs on lent engines, read once for a list; {} if Redis is unavailable."""
        try:
            return borrowers(Engine.objects.select_related("pool"))
        except RedisError:
            return {}

    @cached_property
    def _figures(self) -> pool_lines.Figures:
        """Returns the figures of all engines, read once for a list."""
        return pool_lines.all_figures()

    @cached_property
    def _occupancy(self) -> dict[str, Occupancy]:
        """Returns the occupancy of all pools, read once for a list; {} if Redis is unavailable."""
        try:
            return occupancy(Pool.objects.values_list("name", flat=True))
        except RedisError:
            return {}


def _since(engine: Engine, condition: Condition) -> str | None:
    """Returns since when the engine has been in this condition."""
    now = state_unless_draining(engine)
    return now.since.isoformat() if now.since and now.condition is condition else None


_LOCAL_FIELDS = frozenset({"slots"})  # fields of a hosted engine that do not say where requests go


def refuse_hosting_by_key(who: Requester, engine: Engine | None, fields: dict[str, Any]) -> None:
    """Refuses a key that would change which requests leave this installation, or where to.

    A key of an operator may drain, resume and remove hosted engines, and change their slots. Raises
    Problem.
    """
    if who.operator_key is None:
        return
    was_hosted = bool(engine and engine.hosted)
    hosted = bool(fields.get("hosted", was_hosted)) or fields.get("kind") in HOSTED
    changed = {n for n, v in fields.items() if n == "api_key" or v != getattr(engine, n, None)}
    if hosted != was_hosted or (was_hosted and changed - _LOCAL_FIELDS):
        text = _(
            "Only a person decides whether requests leave this installation: sign in to the "
            "console to add or change a hosted engine."
        )
        raise denied(text, "person_needed")


class Engines(DeclaredResource):
    shape = EngineShape
    volatile = (
        "state",
        "state_reason",
        "starting_since",
        "down_since",
        "running",
        "figures",
        "lent_since",
        "lent_to",
        "returning_since",
        "last_return_s",
    )

    def rows(self) -> QuerySet[Engine]:
        return Engine.objects.select_related("pool__model")

    list = listing(Who.OPERATOR, "List the engines of all pools.", Scope.ENGINES_READ, asks=ByName)
    retrieve = showing(
        Who.OPERATOR,
        "Show an engine: its address, and whether it takes requests.",
        Scope.ENGINES_READ,
    )
    destroy = calling(
        "remove",
        Who.OPERATOR,
        "Remove an engine. Running requests finish; waiting ones stay in its pool.",
        Scope.ENGINES_WRITE,
    )
    drain = calling(
        "drain",
        Who.OPERATOR,
        "Drain an engine: it takes no new requests and finishes the running ones.",
        Scope.ENGINES_WRITE,
    )
    resume = calling(
        "resume", Who.OPERATOR, "Let a drained engine take requests again.", Scope.ENGINES_WRITE
    )

    @Act(Who.OPERATOR, (Scope.ENGINES_WRITE,), takes=NewEngine)
    def create(self, request: Any) -> Response:
        """Add an engine to a pool. Every process uses it within a second."""
        fields = self.body()
        self.refuse_taken(fields["name"])
        pools, text = Pool.objects.select_related("model"), _("There is no such pool.")
        pool = self.named(pools, "pool", text, name=fields.pop("pool"))
        name = fields.pop("name")
        fields = with_server(name, fields)
        refuse_hosting_by_key(self.who, None, fields)
        check_fields(pool, name, {"slots": SLOTS, "options": {}, **fields})
        return self.respond(Engine.add(pool, name, by=self.actor, **fields), 201)

    @Act(Who.OPERATOR, (Scope.ENGINES_WRITE,), takes=EngineChange)
    def partial_update(self, request: Any, **path: Any) -> Response:
        """Change an engine. Running requests finish as they began."""
        fields, row = self.body(), self.row_to_change()
        refuse_hosting_by_key(self.who, row, fields)
        current = {name: getattr(row, name) for name in ("kind", "url", "hosted", "options")}
        launch = row.options.get("launch")
        check_fields(row.pool, row.name, {**current, **fields}, checked_launch=launch)
        return self.respond(row.change(by=self.actor, **fields))
