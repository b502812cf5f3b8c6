"""Step 2, the submission: a request, validated and prepared for the engine."""

from collections.abc import Callable
from math import inf
from typing import Any, NamedTuple
from uuid import UUID

import msgspec
import orjson

from inference import classes
from inference.engines import engines_of
from inference.engines.base import Engine
from inference.engines.choices import ONE, Several, several_of
from inference.engines.inputs import likely_tokens
from inference.errors import BadRequest
from inference.intake import cache_lookup, sessions
from inference.intake.access import allowed
from inference.intake.access.allowed import Target
from inference.intake.idempotency_claim import HEADER as IDEMPOTENCY_KEY
from inference.intake.idempotency_claim import Claim
from inference.intake.limits import cost_bound
from inference.intake.prompt_templates import FilledTemplate
from inference.local_only import HEADER as RESIDENCY
from inference.local_only import LOCAL
from inference.order import OrderAdapter, Stored
from inference.queue import prefix_hashes
from inference.validation import requests
from inference.validation.requests import Form, checked
from inference.validation.schemas import Body
from tenants.caller import Caller

CLASS = "x-forebay-class"


class Submission(msgspec.Struct, frozen=True):
    caller: Caller
    engine: Engine
    body: bytes  # for the engine; the audit trail records it
    chat: bool
    route: str
    stream: bool
    estimate: int  # tokens that it is likely to take
    max_tokens: int | None = None  # of the answer, by the body
    include_usage: bool = False
    outlives_reader: bool = False
    keeps_text: bool = False  # stored as a message of a chat
    klass: str = "realtime"  # of work: inference/classes.py
    client_ip: str = ""
    address_counted_at: int = 0  # see rate_limits.py
    time_limit_s: float = inf  # until the client's own deadline
    claim: Claim | None = None  # of an idempotency key
    cache: cache_lookup.CachePreference | None = None  # a cached answer may do
    among: frozenset[str] | None = None  # pools that may take it; None: any of its model
    may_be_repeated: bool = False  # as in Order
    adapter: OrderAdapter | None = None  # on the engine's model
    reserve: tuple[int, int] | None = None  # tokens that it may take; None: by its body
    task: str = ""  # as in Order
    several: Several = ONE  # prompts and answers
    stored: Stored | None = None  # as in Order
    prefixes: str = ""  # hashes of its prompt: inference/queue/prefix_hashes.py
    session: UUID | None = None  # as in Order

    @property
    def goes_on_alone(self) -> bool:
        """Returns whether it goes on when its reader leaves."""
        in_background = self.stored is not None and self.stored.background
        return self.outlives_reader or self.claim is not None or in_background


class Arrival(msgspec.Struct, frozen=True):
    """The arrival of a request. `address_counted_at`: see rate_limits.py."""

    route: str
    client_ip: str = ""
    address_counted_at: int = 0


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """The wishes of a request beside its body.

    `streamed` makes it a stream with usage, whatever the body says. With an `idempotency_key` it
    outlives its reader and the reader's deadline, so that it can be replayed. `klass` is set by a
    front end with its own class; otherwise plan and route decide, or a client's `requested_class`.
    `prompt` is the filled template that the body names. `affinity` is any text that requests of one
    conversation share: its engine is preferred where their prompts do not tell. `client_body` is
    what the client sent, where the front end has made the body from it.
    """

    streamed: bool = False
    klass: str = ""
    requested_class: str | None = None
    time_limit_s: float = inf
    idempotency_key: str | None = None
    requested_residency: str | None = None
    prompt: FilledTemplate | None = None
    cache: str | None = None
    affinity: str = ""
    session: str | None = None  # as its client calls it
    client_body: Body | None = None

    @classmethod
    def of(cls, header: Callable[[str], str | None], **more: Any) -> "Options":
        """Returns the options that headers hold; `header` gives one's value, None without it."""
        return cls(
            requested_class=header(CLASS),
            idempotency_key=header(IDEMPOTENCY_KEY),
            requested_residency=header(RESIDENCY),
            cache=header(cache_lookup.CACHE),
            session=sessions.named_in(header),
            **more,
        )


NO_OPTIONS = Options()


def read(
    caller: Caller,
    body: Body,
    length: int,
    form: Form,
    arrival: Arrival,
    options: Options = NO_OPTIONS,
) -> Submission:
    """Returns the submission of a client's body of `length` bytes, after all checks of it.

    Raises NoSuchModel, BadRequest, Unavailable.
    """
    bound_caller = allowed.bound_to_residency(caller, options.requested_residency)
    klass = options.klass or work_class(caller, arrival.route, options.requested_class)
    # The checks below fill in defaults.
    original = options.client_body or (body if options.idempotency_key is None else dict(body))
    if options.prompt:
        body = options.prompt.put_into(body)
        length = len(orjson.dumps(body))
    body, engine, adapter = _checked(bound_caller, body, length, form, options, klass)
    claim = _claim(original, arrival, options, klass)  # hashes the body: after the checks
    if options.streamed:
        body |= {"stream": True, "stream_options": {"include_usage": True}}
    session = sessions.of(caller, options.session, (options.client_body or {}) | body)
    affinity = options.affinity or (session.hex if session else "")
    includes_usage = bool((body.get("stream_options") or {}).get("include_usage"))
    several = ONE if form.task else _several(body, engine, klass)
    prepared, estimate, reserve = _prepared(body, length, form, caller, engine, several)
    return Submission(
        caller=bound_caller,
        engine=engine,
        body=orjson.dumps(prepared),
        chat=form is Form.CHAT,
        route=arrival.route,
        stream=bool(body.get("stream")),
        estimate=estimate,
        max_tokens=prepared.get("max_tokens"),
        include_usage=includes_usage,
        klass=klass,
        client_ip=arrival.client_ip,
        address_counted_at=arrival.address_counted_at,
        time_limit_s=inf if claim else options.time_limit_s,
        claim=claim,
        cache=_cache_preference(bound_caller, engine, prepared, form, adapter, options),
        adapter=adapter,
        reserve=reserve,
        task=form.task,
        several=several,
        session=session,
        prefixes=_prefixes(caller, engine, prepared, form, klass, adapter, affinity),
    )


def _checked(
    caller: Caller, body: Body, length: int, form: Form, options: Options, klass: str
) -> tuple[Body, Engine, OrderAdapter | None]:
    """Returns the body after all checks, and what answers it.

    Raises NoSuchModel, BadRequest, Unavailable.
    """
    if (options.streamed or body.get("stream")) and classes.of(klass).checkpoints:
        raise BadRequest("long work has no stream; ask for it without `stream`", param="stream")
    engine, adapter = _target(caller, body, form)
    if adapter and form.task:
        raise BadRequest("an adapter answers chats and completions alone", param="model")
    body = checked(body, length, form, engine)
    if body.get("moderation"):
        _check_moderated(engine)
    return body, engine, adapter


def _cache_preference(
    caller: Caller,
    engine: Engine,
    prepared: Body,
    form: Form,
    adapter: OrderAdapter | None,
    options: Options,
) -> cache_lookup.CachePreference | None:
    return cache_lookup.cache_preference(
        caller,
        engine.config.name,
        prepared,
        options.cache,
        chat=form is Form.CHAT,
        adapter=adapter,
        task=form.task,
    )


def _prefixes(
    caller: Caller,
    engine: Engine,
    prepared: Body,
    form: Form,
    klass: str,
    adapter: OrderAdapter | None,
    affinity: str,
) -> str:
    if form.task:
        return ""
    return prefix_hashes.of(
        caller.tenant_id,
        engine.config.name,
        prepared,
        klass=klass,
        adapter=adapter,
        affinity=affinity,
    )


def _several(body: Body, engine: Engine, klass: str) -> Several:
    """Returns how many answers a checked body asks for. Raises BadRequest.

    Any engine of the model may get it: the one that reads a prompt most often counts.
    """
    several = several_of(body, read_once=engine.makes_together(body))
    if several is ONE:
        return ONE
    if not classes.of(klass).serves_completions:
        what = f"requests of the class `{klass}` have one answer: leave out `n` and further prompts"
        raise BadRequest(what, code="unsupported_value", param="n")
    read_once = all(each.makes_together(body) for each in engines_of(engine.config.name))
    return several_of(body, read_once=read_once)


class Prepared(NamedTuple):
    """A body for the engine, the tokens that it is likely to take, and those to set aside."""

    body: Body
    estimate: int
    reserve: tuple[int, int] | None = None


def _prepared(
    body: Body, length: int, form: Form, caller: Caller, engine: Engine, several: Several
) -> Prepared:
    if task := form.task:
        prepared = engine.prepare_task(body, task)
        reserve = engine.inputs_bound(prepared, task), 0
        return Prepared(prepared, likely_tokens(prepared, task), reserve)
    estimate = requests.estimate(length, body, several)
    cost_bound.bound_answer(body, caller, engine)
    return Prepared(engine.prepare(body, chat=form is Form.CHAT), estimate)


def _check_moderated(engine: Engine) -> None:
    """Raises BadRequest where a pool of the model would answer unmoderated."""
    name = engine.config.name
    if all("moderation" in other.fields(chat=True) for other in engines_of(name)):
        return
    what = f"`moderation` is not taken by every pool of the model `{name}`: leave it out"
    raise BadRequest(what, code="unsupported_value", param="moderation")


def _claim(body: Body, arrival: Arrival, options: Options, klass: str) -> Claim | None:
    """Returns the claim. Two headers change the request, so they are part of it."""
    if options.idempotency_key is None:
        return None
    headers = {
        RESIDENCY: options.requested_residency and LOCAL,
        CLASS: options.requested_class and klass,
    }
    changed = {name: value for name, value in headers.items() if value is not None}
    return Claim.of(options.idempotency_key, arrival.route, body | changed)


def _target(caller: Caller, body: Body, form: Form) -> Target:
    """Returns the target. A plain call without a model gets the first that may serve it."""
    if form is Form.PLAIN and not body.get("model"):
        body = {"model": allowed.first_for(caller)}
    return allowed.target_for(caller, requests.model_of(body))


def work_class(caller: Caller, route: str, requested: str | None = None) -> str:
    """Returns the class of a request's plan and route, or the lower one of its header `requested`.

    The header is no field of a body: those reach engines and records, not the queue. Raises
    BadRequest.
    """
    highest = classes.assigned(caller.tier, route)
    if requested is None:
        return highest
    open_to = classes.lowerable(highest)
    name = requested.strip().lower()
    if name not in open_to:
        names = " or ".join(f"`{each}`" for each in open_to)
        raise BadRequest(
            f"{CLASS} may be {names} here: a request can give way, not go before others",
            param=CLASS,
        )
    return name
