"""Attributes of spans of requests, work and engines: never a text, a key or an address."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit
from uuid import UUID

from django.conf import settings

from inference.codec.answer_translator import count
from inference.order import EMBED, RERANK, Item, Order
from inference.tracing import attributes as names
from inference.tracing.spans import Span, Value

if TYPE_CHECKING:
    from inference.engines.base import EngineConfig
    from inference.metrics.requests import Counted
    from inference.record.outcome import Outcome

EVERYBODY = frozenset({"all"})
CANCELLED = 499
# OpenTelemetry's words (gen_ai.operation.name); it has none for a ranking.
_OPERATIONS = {"chat": "chat", "text": "text_completion", EMBED: "embeddings", RERANK: "rerank"}
FINISHES = frozenset(("stop", "length", "tool_calls", "content_filter", "function_call", "abort"))


def end(
    span: Span, request: "Counted", request_id: str, name: str, wire: Mapping[str, Value]
) -> None:
    """End the span of a front end. `wire` has the attributes of its transport."""
    if span.is_on:
        span.tell({**wire, names.REQUEST_ID: request_id, **_of_request(request)})
        if request.status >= 500:
            span.failed(request.reason or str(request.status))
        elif request.reason:
            span.tell({names.REFUSAL: request.reason})
    span.end(name)


def _of_request(request: "Counted") -> dict[str, Value]:
    attributes: dict[str, Value] = {names.FRONT_END: request.front_end}
    if request.status == CANCELLED:
        attributes[names.STATE] = "cancelled"
    if order := request.order:
        attributes |= _of_order(order)
    return attributes | tenant(request.tenant_id)


def _of_order(order: Order) -> dict[str, Value]:
    return {
        names.OPERATION: operation(order),
        names.REQUEST_MODEL: order.model,
        names.REQUEST_STREAM: order.stream,
        names.CLASS: order.klass,
        names.POOL: order.queue,
    }


def of_line(batch: str, number: int, order: Order) -> dict[str, Value]:
    """Returns attributes of a batch's line when it becomes a request."""
    return {
        names.FRONT_END: "batch",
        names.BATCH: batch,
        names.LINE: number,
        names.REQUEST_ID: str(order.id),
        **_of_order(order),
        **tenant(order.tenant_id),
    }


def of_work(order: Order, item: Item, engine: str, outcome: "Outcome | None") -> dict[str, Value]:
    """Returns attributes of a runner's work. Without an `outcome` another runner ends it."""
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
    """Returns the tenant's attribute, if FOREBAY_TRACES_TENANTS has it."""
    ids = settings.TRACES_TENANTS
    if ids and tenant_id and (ids == EVERYBODY or str(tenant_id) in ids):
        return {names.TENANT_ID: str(tenant_id)}
    return {}


def operation(order: Order) -> str:
    return _OPERATIONS[order.form]


def call_name(order: Order, model: str) -> str:
    return f"{operation(order)} {model}"


def of_engine(order: Order, config: "EngineConfig", *, stream: bool) -> dict[str, Value]:
    """Returns attributes of the engine's request: the model has the engine's name."""
    return {
        names.OPERATION: operation(order),
        names.PROVIDER: config.kind,
        names.REQUEST_MODEL: config.model,
        names.REQUEST_STREAM: stream,
        names.ENGINE: config.id,
        **server(config.url),
    }


def of_answer(model: str, finish_reason: str, usage: Mapping[str, Any]) -> dict[str, Value]:
    """Returns attributes that the engine reported; figures that count no tokens are left out.

    The exporter would lose all spans beside one with a number beyond 64 bits.
    """
    figures = {
        names.INPUT_TOKENS: count(usage, "prompt_tokens"),
        names.CACHED_TOKENS: count(usage.get("prompt_tokens_details"), "cached_tokens"),
        names.OUTPUT_TOKENS: count(usage, "completion_tokens"),
    }
    reported: dict[str, Value] = {name: n for name, n in figures.items() if n is not None}
    if model:
        reported[names.RESPONSE_MODEL] = model
    if finish_reason:
        reported[names.FINISH_REASONS] = [finish_reason if finish_reason in FINISHES else "other"]
    return reported


def server(url: str) -> dict[str, Value]:
    """Returns attributes of an engine's address. Raises ValueError."""
    parts = urlsplit(url)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    return {names.SERVER_ADDRESS: parts.hostname or "", names.SERVER_PORT: port}
