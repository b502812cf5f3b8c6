"""A front end's request, validated and prepared for the engine."""

from math import inf

import msgspec
import orjson

from inference.engines import engines_of
from inference.engines.base import Engine
from inference.errors import BadRequest
from inference.intake.access import allowed, residency
from inference.intake.cached_answers import preference
from inference.intake.idempotency_claim import Claim
from inference.intake.limits import charging
from inference.intake.prompt_templates import Prompt
from inference.intake.work_class import HEADER as CLASS
from inference.intake.work_class import work_class
from inference.validation import requests
from inference.validation.forms import Form, checked
from inference.validation.schemas import Body
from tenants.caller import Caller


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
    address_counted_at: int = 0  # see address_limit.py
    time_limit_s: float = inf  # until the client's own deadline
    claim: Claim | None = None  # of an idempotency key
    cache: preference.CachePreference | None = None  # a cached answer may do
    among: frozenset[str] | None = None  # pools that may take it; None: any of its model
    may_be_repeated: bool = False  # as in Order


def read(
    caller: Caller,
    body: Body,
    length: int,
    form: Form,
    *,
    route: str,
    client_ip: str,
    address_counted_at: int,
    streamed: bool = False,
    klass: str = "",
    requested_class: str | None = None,
    time_limit_s: float = inf,
    idempotency_key: str | None = None,
    requested_residency: str | None = None,
    prompt: Prompt | None = None,
    cache: str | None = None,
) -> Submission:
    """Returns the submission of a client's body of `length` bytes, after all checks of it.

    `streamed` makes it a stream with usage, whatever the body says. With an `idempotency_key` it
    outlives its reader and the reader's deadline, so that it can be replayed. `klass` is set by a
    front end with its own class; otherwise plan and route decide, or the header `requested_class`.
    `requested_residency` and `cache` are values of headers (residency.py, caching.py), `prompt` is
    the filled template that the body names. Raises NoSuchModel, BadRequest, Unavailable.
    """
    bound_caller = residency.bound(caller, requested_residency)
    klass = klass or work_class(caller, route, requested_class)
    headers = {
        residency.HEADER: requested_residency and residency.LOCAL,
        CLASS: requested_class and klass,
    }
    original = body if idempotency_key is None else dict(body)  # the checks below fill in defaults
    if prompt:
        body = prompt.put_into(body)
        length = len(orjson.dumps(body))
    engine = _engine(bound_caller, body, form)
    body = checked(body, length, form, engine)
    if body.get("moderation"):
        _check_moderated(engine)
    claim = _claim(
        idempotency_key, route, original, headers
    )  # it hashes all of the body, so it comes after the checks
    if streamed:
        body |= {"stream": True, "stream_options": {"include_usage": True}}
    options = body.get("stream_options") or {}
    estimate, chat = requests.estimate(length, body), form is Form.CHAT
    charging.bound_answer(body, caller, engine)
    prepared = engine.prepare(body, chat=chat)
    return Submission(
        caller=bound_caller,
        engine=engine,
        body=orjson.dumps(prepared),
        chat=chat,
        route=route,
        stream=bool(body.get("stream")),
        estimate=estimate,
        max_tokens=prepared.get("max_tokens"),
        include_usage=bool(options.get("include_usage")),
        klass=klass,
        client_ip=client_ip,
        address_counted_at=address_counted_at,
        time_limit_s=inf if claim else time_limit_s,
        claim=claim,
        cache=preference.cache_preference(
            bound_caller, engine.config.name, prepared, cache, chat=chat
        ),
    )


def _check_moderated(engine: Engine) -> None:
    """Raises BadRequest where a pool of the model would answer unmoderated."""
    name = engine.config.name
    if all("moderation" in other.fields(chat=True) for other in engines_of(name)):
        return
    what = f"`moderation` is not taken by every pool of the model `{name}`: leave it out"
    raise BadRequest(what, code="unsupported_value", param="moderation")


def _claim(key: str | None, route: str, body: Body, headers: dict[str, str | None]) -> Claim | None:
    """Returns the claim. `headers` change the request, so they are part of it."""
    if key is None:
        return None
    return Claim.of(
        key, route, body | {name: value for name, value in headers.items() if value is not None}
    )


def _engine(caller: Caller, body: Body, form: Form) -> Engine:
    """Returns the engine. A plain call without a model gets the first that may serve it."""
    if form is Form.PLAIN and not body.get("model"):
        body = {"model": allowed.first_for(caller)}
    return allowed.engine_for(caller, requests.model_of(body))
