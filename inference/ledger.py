"""The two moments that must be durable: a request is received, and a request is settled.

Each is one statement over a list of rows, so that a group commit (audit/group_commit.py) takes
one round trip for hundreds of requests, and what belongs together stands or falls together.
"""

import base64
import ipaddress
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any
from uuid import UUID

import msgspec

from audit import record
from audit.group_commit import Row
from audit.keyring import Sealer
from inference.order import Order, packed

RECEIVED = f"""
    with j as (select * from jsonb_to_recordset(%s::jsonb) as x(
        {record.RECEIVED_COLUMNS}, api_key_id uuid, member_id uuid, stream bool)),
    {record.RECEIVED}
    insert into inference_completion
        (id, tenant_id, api_key_id, member_id, model, route, stream, state, created_at)
    select id, tenant_id, api_key_id, member_id, model, route, stream, 'open', at
    from j on conflict (id) do nothing"""

# The usage row decides who settles: whoever comes second writes nothing at all, because the
# audit rows are unique by request as well and stand in the same transaction.
SETTLED = f"""
    with j as (select * from jsonb_to_recordset(%s::jsonb) as x(
        {record.COMPLETED_COLUMNS}, state text, cached int, finish_reason text, attempts int,
        queue_ms int, ttft_ms int, message text)),
    {record.COMPLETED},
    answered as (
        update inference_message m
        set sealed = decode(j.message, 'base64'), finish_reason = j.finish_reason
        from j where m.completion_id = j.id and m.sealed is null and j.message is not null),
    closed as (
        update inference_completion c set state = j.state, settled_at = j.at
        from j where c.id = j.id and c.state = 'open')
    insert into inference_usage
        (completion_id, tenant_id, model, prompt_tokens, completion_tokens, cached_tokens,
         finish_reason, error_code, attempts, queue_ms, ttft_ms, duration_ms, created_at)
    select id, tenant_id, model, tokens_in, tokens_out, cached,
           finish_reason, error_code, attempts, queue_ms, ttft_ms, processing_ms, at
    from j on conflict (completion_id) do nothing"""


class Outcome(msgspec.Struct, kw_only=True):
    """How a completion ended. Tokens are the engine's count, or ours where it was cut off."""

    state: str = "done"  # inference.models.State
    status: int = 200
    finish_reason: str = "stop"
    error_code: str = ""
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int = 0
    attempts: int = 1
    queue_ms: int | None = None
    ttft_ms: int | None = None
    text: str = ""  # what the reader got
    response: bytes = b""  # as the audit trail keeps it

    @property
    def cost(self) -> int:
        """In the fair queue's unit: an output token weighs two (VTC, arXiv 2401.00588)."""
        return self.prompt_tokens + 2 * self.completion_tokens


def place(order: Order, field: str) -> bytes:
    """What a payload's ciphertext is bound to."""
    return b"audit_payload|%b|%b|%b" % (order.tenant_id.bytes, order.id.bytes, field.encode())


def request_place(tenant_id: bytes, request_id: bytes) -> bytes:
    return b"audit_payload|%b|%b|request" % (tenant_id, request_id)


def message_place(order: Order) -> bytes:
    return b"inference_message|%b|%b" % (order.tenant_id.bytes, order.id.bytes)


def sealed_order(order: Order, sealer: Sealer) -> bytes:
    """Key id (16 bytes) and ciphertext: what lies in Redis and in the audit payload."""
    return sealer.key_id.bytes + sealer.seal(packed(order), place(order, "request"))


def key_id(sealed: bytes) -> UUID:
    return UUID(bytes=sealed[:16])


def received_row(order: Order, sealed: bytes, api_key_id: Any, member_id: Any) -> Row:
    return {
        **_common(order, order.created_at),
        "data_key_id": sealed[:16].hex(),
        "request": base64.b64encode(sealed[16:]).decode(),
        "api_key_id": api_key_id and api_key_id.hex,
        "member_id": member_id and member_id.hex,
        "stream": order.stream,
    }


def settled_row(order: Order, outcome: Outcome, sealer: Sealer | None, now: float) -> Row:
    """Without a sealer: the subject's key has been destroyed, no text is kept."""
    response = message = None
    if sealer and outcome.response:
        response = sealer.seal(outcome.response, place(order, "response"))
    if sealer and order.detached:
        message = sealer.seal(outcome.text.encode(), message_place(order))
    return {
        **_common(order, now),
        "status": outcome.status,
        "error_code": outcome.error_code,
        "response_length": len(outcome.text),
        "processing_ms": milliseconds(now - order.created_at),
        "tokens_in": outcome.prompt_tokens,
        "tokens_out": outcome.completion_tokens,
        "data_key_id": sealer and sealer.key_id.hex,
        "response": base64.b64encode(response).decode() if response else None,
        "state": outcome.state,
        "cached": outcome.cached_tokens,
        "finish_reason": outcome.finish_reason,
        "attempts": outcome.attempts,
        "queue_ms": outcome.queue_ms,
        "ttft_ms": outcome.ttft_ms,
        "message": base64.b64encode(message).decode() if message else None,
    }


def milliseconds(seconds: float) -> int:
    """As the database can hold them; a clock set back gives 0."""
    return min(2**31 - 1, max(0, int(seconds * 1000)))


def _common(order: Order, at: float) -> Row:
    return {
        "id": order.id.hex,
        "at": datetime.fromtimestamp(at, UTC).isoformat(),
        "tenant_id": order.tenant_id.hex,
        "actor": order.actor,
        "subject_id": order.subject_id.hex,
        "client_net": network(order.client_ip),
        "route": order.route,
        "model": order.model,
    }


@lru_cache(4096)
def network(client_ip: str) -> str | None:
    """The address without its host part (/24, /48): enough to find patterns, not a person."""
    try:
        address = ipaddress.ip_address(client_ip)
    except ValueError:
        return None  # no address: a socket file, a name
    if isinstance(address, ipaddress.IPv6Address):
        address = address.ipv4_mapped or address
    bits = 24 if address.version == 4 else 48
    return str(ipaddress.ip_network(f"{address}/{bits}", strict=False).network_address)
