"""Hashes of a prompt's beginnings, by which its queue finds the engine that has one in its cache.

They are keyed, with a key for each tenant: equal prompts of two tenants have nothing in common, and
nothing about a prompt can be learned from them. A request's own hash is that of its whole prompt:
the next turn of a conversation begins with it.
"""

import hmac
from functools import lru_cache
from hashlib import blake2b, sha256
from typing import Any
from uuid import UUID

import orjson
from django.conf import settings

from inference import classes
from inference.engines import pools_of
from inference.order import Order, OrderAdapter

LEAST = 1024  # bytes of a body: a shorter prompt is soon computed again
MOST = 16  # shorter beginnings that are looked up
_BYTES = 8
# Fields whose values engines write into the prompt before the messages.
_BEFORE_MESSAGES = ("tools", "tool_choice", "chat_template_kwargs", "reasoning_effort")
Body = dict[str, Any]


def of(
    tenant_id: UUID,
    model: str,
    body: Body,
    *,
    klass: str,
    adapter: OrderAdapter | None = None,
    affinity: str = "",
) -> str:
    """Returns `own|shorter ones, the longest first|affinity`; "" where no engine is preferred.

    `body` is prepared for the engine. `affinity` is any text that requests of one conversation
    share: a session, the first of a chain of responses. Its engine is looked up last.
    """
    if not settings.WARM_WAIT_MS or klass != classes.names()[0] or not _has_choice(model):
        return ""
    return _hashes(tenant_id, model, body, adapter, affinity)


def of_order(order: Order, klass: str) -> str:
    """Returns the same of an order that a worker has, without affinity."""
    if order.task or order.route == classes.JOB:
        return ""
    body = orjson.loads(order.body)
    return of(order.tenant_id, order.model, body, klass=klass, adapter=order.adapter)


def _has_choice(model: str) -> bool:
    return any(len(pool.engines) > 1 for pool in pools_of(model))


def _hashes(
    tenant_id: UUID, model: str, body: Body, adapter: OrderAdapter | None, affinity: str
) -> str:
    before = [model, adapter and adapter.version.hex, *map(body.get, _BEFORE_MESSAGES)]
    hashed = blake2b(orjson.dumps(before), digest_size=_BYTES, key=_key(tenant_id))
    beginnings = _of_messages(hashed, body) if "messages" in body else _of_text(hashed, body)
    if not beginnings:
        return ""
    *shorter, own = beginnings
    return f"{own}|{' '.join(reversed(shorter))}|{_of_affinity(affinity, tenant_id)}"


def _of_affinity(text: str, tenant_id: UUID) -> str:
    if not text:
        return ""
    marked = b"affinity|" + text.encode(errors="surrogatepass")
    return blake2b(marked, digest_size=_BYTES, key=_key(tenant_id)).hexdigest()


def _of_messages(hashed: blake2b, body: Body) -> list[str]:
    """Returns hashes of the prompt up to each of the last messages, the shortest first."""
    messages, beginnings, length = body["messages"], list[str](), 0
    for number, message in enumerate(messages, 1):
        text = orjson.dumps(message)
        length += len(text)
        hashed.update(text)
        if number >= len(messages) - MOST:
            beginnings.append(hashed.hexdigest())
    return beginnings if length >= LEAST else []


def _of_text(hashed: blake2b, body: Body) -> list[str]:
    """Returns hashes of the first LEAST bytes, twice as many, and so on."""
    text, beginnings, begin, end = orjson.dumps(body.get("prompt")), list[str](), 0, LEAST
    while end <= len(text):
        hashed.update(text[begin:end])
        beginnings.append(hashed.hexdigest())
        begin, end = end, 2 * end
    return beginnings


@lru_cache(maxsize=4096)
def _key(tenant_id: UUID) -> bytes:
    text = b"warm prefix|" + tenant_id.bytes
    return hmac.digest(settings.API_KEY_PEPPER, text, sha256)
