"""What spans say of requests, of work and of engines. Never a text, a key or an address."""

from collections.abc import Mapping
from typing import Any, Protocol
from urllib.parse import urlsplit
from uuid import UUID

from django.conf import settings

from inference.order import Item, Order
from inference.tracing import attributes as names
from inference.tracing.spans import Span, Value

EVERYBODY = frozenset({"all"})
CANCELLED = 499
FINISHES = frozenset(("stop", "length", "tool_calls", "content_filter", "function_call", "abort"))


class Config(Protocol):
    """Of an engine."""

    @property
    def id(self) -> str: ...

    @property
    def kind(self) -> str: ...

    @property
    def model(self) -> str: ...

    @property
    def url(self) -> str: ...


class Outcome(Protocol):
    state: str
    preemptions: int


class Ended(Protocol):
    """A request at one of our doors."""

    front_end: str
    order: Order | None
    reason: str  # why it was refused
    status: int
    tenant_id: UUID | None


def end(span: Span, request: Ended, request_id: str, name: str, wire: Mapping[str, Value]) -> None:
    """Of the span at the door. `wire`: what only this front end has to tell."""
    if span.is_on:
        span.tell({**wire, names.REQUEST_ID: request_id, **_of_request(request)})
        if request.status >= 500:
            span.failed(request.reason or str(request.status))
        elif request.reason:
            span.tell({names.REFUSAL: request.reason})
    span.end(name)


def _of_request(request: Ended) -> dict[str, Value]:
    found: dict[str, Value] = {names.FRONT_END: request.front_end}
    if request.status == CANCELLED:
        found[names.STATE] = "cancelled"
    if order := request.order:
        found |= _of_order(order)
    return found | tenant(request.tenant_id)


def _of_order(order: Order) -> dict[str, Value]:
    return {
        names.OPERATION: operation(order),
        names.REQUEST_MODEL: order.model,
        names.REQUEST_STREAM: order.stream,
        names.CLASS: order.klass,
        names.POOL: order.queue,
    }


def of_line(batch: str, number: int, order: Order) -> dict[str, Value]:
    """Of a batch, as it becomes a request."""
    return {
        names.FRONT_END: "batch",
        names.BATCH: batch,
        names.LINE: number,
        names.REQUEST_ID: str(order.id),
        **_of_order(order),
        **tenant(order.tenant_id),
    }


def of_work(order: Order, item: Item, engine: str, outcome: Outcome | None) -> dict[str, Value]:
    """`outcome` None: another runner ends it."""
    return {
        names.REQUEST_ID: item.id,
        names.POOL: order.queue,
        names.CLASS: item.klass,
        names.ENGINE: engine,
        names.ATTEMPT: item.attempt,
        names.STATE: outcome.state if outcome else "goes on elsewhere",
        **({names.PREEMPTIONS: outcome.preemptions} if outcome else {}),
    }


def tenant(tenant_id: UUID | None) -> dict[str, Value]:
    """Whose it is: where FOREBAY_TRACES_TENANTS says so."""
    named = settings.TRACES_TENANTS
    if named and tenant_id and (named == EVERYBODY or str(tenant_id) in named):
        return {names.TENANT_ID: str(tenant_id)}
    return {}


def operation(order: Order) -> str:
    return "chat" if order.chat else "text_completion"


def call_name(order: Order, model: str) -> str:
    return f"{operation(order)} {model}"


def of_engine(order: Order, config: Config, *, stream: bool) -> dict[str, Value]:
    """As it is asked: the model has the engine's name for it."""
    return {
        names.OPERATION: operation(order),
        names.PROVIDER: config.kind,
        names.REQUEST_MODEL: config.model,
        names.REQUEST_STREAM: stream,
        names.ENGINE: config.id,
        **server(config.url),
    }


def of_answer(model: str, finish_reason: str, usage: Mapping[str, Any]) -> dict[str, Value]:
    """As far as the engine said so: a figure that is no number is none."""
    details = usage.get("prompt_tokens_details")
    cached = details.get("cached_tokens") if isinstance(details, dict) else None
    figures = {
        names.INPUT_TOKENS: usage.get("prompt_tokens"),
        names.CACHED_TOKENS: cached,
        names.OUTPUT_TOKENS: usage.get("completion_tokens"),
    }
    said: dict[str, Value] = {name: n for name, n in figures.items() if type(n) is int}
    if model:
        said[names.RESPONSE_MODEL] = model
    if finish_reason:
        said[names.FINISH_REASONS] = [finish_reason if finish_reason in FINISHES else "other"]
    return said


def server(url: str) -> dict[str, Value]:
    """Of an engine. Raises ValueError."""
    found = urlsplit(url)
    port = found.port or (443 if found.scheme == "https" else 80)
    return {names.SERVER_ADDRESS: found.hostname or "", names.SERVER_PORT: port}
