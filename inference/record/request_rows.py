"""The rows of a request as sql_statements.py takes them, and how their texts are encrypted."""

import base64
import logging
from datetime import UTC, datetime
from hashlib import sha256
from uuid import UUID

from audit import merkle
from audit.actions import Action
from audit.keys.keyring import Cipher
from audit.proof import receipts
from audit.proof.receipts import Receipt
from audit.trail import canonical
from audit.trail.commit_queue import Row
from audit.trail.group_commit import LARGE
from audit.trail.truncated_address import network
from inference import reasoning
from inference.order import PASSES, Order, packed
from inference.reasoning import Said
from inference.record.outcome import Outcome
from tenants.quotas import windows

log = logging.getLogger(__name__)


def aad(order: Order, field: str) -> bytes:
    """Returns the associated data of a payload's ciphertext."""
    return b"audit_payload|%b|%b|%b" % (order.tenant_id.bytes, order.id.bytes, field.encode())


def request_aad(tenant_id: bytes, request_id: bytes) -> bytes:
    return b"audit_payload|%b|%b|request" % (tenant_id, request_id)


def message_aad(order: Order) -> bytes:
    return b"inference_message|%b|%b" % (order.tenant_id.bytes, order.id.bytes)


def encrypted_order(order: Order, cipher: Cipher) -> bytes:
    """Returns key id (16 bytes) and ciphertext, as in Redis and in the audit payload."""
    return cipher.key_id.bytes + cipher.encrypt(packed(order), aad(order, "request"))


def key_id(ciphertext: bytes) -> UUID:
    return UUID(bytes=ciphertext[:16])


def received_row(order: Order, ciphertext: bytes, time_zone: str = "UTC") -> Row:
    """Returns the row. Days and months of quotas begin at midnight in `time_zone`, the tenant's."""
    at, text = datetime.fromtimestamp(order.created_at, UTC), ciphertext[16:]
    day, month = windows.bounds("day", at, time_zone), windows.bounds("month", at, time_zone)
    return {
        **_common(order, order.created_at),
        "tokens": order.charge.tokens,
        "cost": order.charge.most,
        "gpu_ms": order.charge.gpu_ms,
        "day_starts": day.starts_text,
        "day_ends": day.ends_text,
        "month_starts": month.starts_text,
        "month_ends": month.ends_text,
        "data_key_id": ciphertext[:16].hex(),
        "request": text if len(text) > LARGE else base64.b64encode(text).decode(),
        "payload_sha256": sha256(text).hexdigest(),
        "stream": order.stream,
        "deadline": datetime.fromtimestamp(order.deadline, UTC).isoformat(),
        **_stored(order),
    }


def _stored(order: Order) -> Row:
    """Returns what inference.models.StoredResponse has of the order."""
    if (stored := order.stored) is None:
        return {}
    return {"stored": {"background": stored.background, "size": stored.size}}


def settled_row(order: Order, outcome: Outcome, cipher: Cipher | None, now: float) -> Row:
    """Returns the row. Without a cipher (a destroyed key) no text is stored."""
    charge = order.charge
    response = message = None
    if cipher and outcome.response:
        response = cipher.encrypt(outcome.response, aad(order, "response"))
    if cipher and order.keeps_text:
        text = reasoning.packed(Said(outcome.text, outcome.reasoning))
        message = cipher.encrypt(text, message_aad(order))
    tokens = (outcome.prompt_tokens, outcome.cached_tokens, outcome.completion_tokens)
    cost = charge.cost(*tokens, order.queue) + charge.gpu_cost(outcome.gpu_ms)
    return {
        **_common(order, now),
        "upstream": outcome.upstream,
        "engine": outcome.engine,
        "hosted": " " in outcome.upstream,  # with its host: see Engine.upstream
        "status": outcome.status,
        "error_code": outcome.error_code,
        "response_length": len(outcome.text),
        "processing_ms": milliseconds(now - order.created_at),
        "tokens_in": outcome.prompt_tokens,
        "tokens_out": outcome.completion_tokens,
        "data_key_id": cipher and cipher.key_id.hex,
        "response": base64.b64encode(response).decode() if response else None,
        "payload_sha256": sha256(response).hexdigest() if response else None,
        "state": outcome.state,
        "cached": outcome.cached_tokens,
        "gpu_ms": outcome.gpu_ms,
        "millijoules": outcome.millijoules,
        "cache": outcome.cache or ("miss" if order.cached else ""),
        "finish_reason": outcome.finish_reason,
        "attempts": outcome.attempts,
        "preemptions": outcome.preemptions,
        "queue_ms": outcome.queue_ms,
        "ttft_ms": outcome.ttft_ms,
        "team_id": charge.team_id and charge.team_id.hex,
        "cost": cost,
        "beyond": _beyond(order, outcome, cost),
        "message": base64.b64encode(message).decode() if message else None,
        "repeated": _repeated(order, outcome),
    }


def _repeated(order: Order, outcome: Outcome) -> bool:
    """Returns whether its batch tries the line again. Usage counts a line once."""
    is_over = outcome.finish_reason == "cancelled" or outcome.status not in PASSES
    return order.may_be_repeated and not is_over


def _beyond(order: Order, outcome: Outcome, cost: int) -> dict[str, int] | None:
    """Returns what an answer took beyond its reservation, and logs it; None if nothing.

    Then the bound of engines/prompt_bound.py does not hold for this model, and budgets can be
    overspent.
    """
    reserved, tokens = order.charge, outcome.prompt_tokens + outcome.completion_tokens
    within = tokens <= reserved.tokens and cost <= reserved.most
    if within or not (reserved.tokens or reserved.gpu_ms):
        return None
    log.error(
        "ALERT %s: request %s of model %s took %d tokens, of which %d had been set aside",
        Action.QUOTA_OVERRUN,
        order.id,
        order.model,
        tokens,
        reserved.tokens,
    )
    return {
        "tokens": tokens,
        "tokens_set_aside": reserved.tokens,
        "prompt_tokens": outcome.prompt_tokens,
        "cost": cost,
        "cost_set_aside": reserved.most,
    }


def receipt(order: Order, payload_sha256: str) -> Receipt:
    """Returns the receipt: it proves that the request is recorded as `received_row` wrote it."""
    at = datetime.fromtimestamp(order.created_at, UTC)
    facts = canonical.Facts(
        action=Action.COMPLETION_RECEIVED,
        at=at,
        actor=order.actor,
        tenant_id=order.tenant_id,
        request_id=order.id,
        subject_id=order.subject_id,
        api_key_id=order.charge.api_key_id,
        client_net=network(order.client_ip),
        route=order.route,
        model=order.model,
        payload_sha256=bytes.fromhex(payload_sha256),
    )
    return receipts.issue(order.id, merkle.leaf(canonical.line(facts)), canonical.microseconds(at))


def milliseconds(seconds: float) -> int:
    """Returns an integer that the database can hold; 0 for a clock set back."""
    return min(2**31 - 1, max(0, int(seconds * 1000)))


def _common(order: Order, at: float) -> Row:
    row = _plain(order, at)
    if order.session:
        row["session"] = order.session.hex
    if team := order.charge.team_id:
        row["team_id"] = team.hex
    if adapter := order.adapter:
        row |= {"adapter": adapter.name, "adapter_version": adapter.label}
    return row


def _plain(order: Order, at: float) -> Row:
    return {
        "id": order.id.hex,
        "at": datetime.fromtimestamp(at, UTC).isoformat(),
        "tenant_id": order.tenant_id.hex,
        "actor": order.actor,
        "subject_id": order.subject_id.hex,
        "client_net": network(order.client_ip),
        "route": order.route,
        "model": order.model,
        "pool": order.queue,
        "klass": order.klass,
        "api_key_id": order.charge.api_key_id and order.charge.api_key_id.hex,
        "member_id": order.charge.member_id and order.charge.member_id.hex,
    }
