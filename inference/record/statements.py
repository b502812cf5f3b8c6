"""The statements of the two durable moments: a request is received, and a request is settled.

Each is one statement over a list of rows, so that a group commit (audit/trail/group_commit.py)
takes one round trip for hundreds of requests, and commits all parts of a request or none.
"""

import base64
import logging
from datetime import UTC, datetime
from hashlib import sha256
from uuid import UUID

import msgspec

from audit import merkle
from audit.actions import Action
from audit.keys.keyring import Cipher
from audit.proof import receipts
from audit.proof.receipts import Receipt
from audit.trail import canonical, record
from audit.trail.commit_queue import Row
from audit.trail.group_commit import LARGE
from audit.trail.truncated_address import network
from inference import reasoning
from inference.order import PASSES, Order, packed
from inference.reasoning import Said
from inference.record.work_units import total_units
from tenants.quotas import windows

log = logging.getLogger(__name__)
# A request without room in its quota stops at tenants_reserve and leaves no trace.
# Returns (id, {taken} or {refused}) for requests that quotas count; see tenants/sql.
RECEIVED = f"""
    with asked as (select %s::jsonb as rows),
    reserved as materialized (select r.* from asked, tenants_reserve(asked.rows) r),
    j as (select x.* from asked, jsonb_to_recordset(asked.rows) as x(
        {record.RECEIVED_COLUMNS}, member_id uuid, stream bool, deadline timestamptz, pool text,
        adapter text, adapter_version text, stored jsonb, klass text)
        where not exists (select from reserved r where r.request = x.id and r.taken is null)),
    begun as (
        insert into inference_completion
            (id, tenant_id, api_key_id, member_id, model, route, stream, state, created_at,
             deadline, pool, klass, adapter, adapter_version)
        select id, tenant_id, api_key_id, member_id, model, route, stream, 'open', at, deadline,
               pool, klass, coalesce(adapter, ''), coalesce(adapter_version, '')
        from j on conflict (id) do nothing returning id),
    opened as (select j.* from begun join j using (id)),
    retrievable as (
        insert into inference_storedresponse
            (id, tenant_id, api_key_id, subject_id, background, size, created_at)
        select id, tenant_id, api_key_id, subject_id, (stored->>'background')::bool,
               (stored->>'size')::int, at from opened where stored is not null),{record.RECEIVED}
    select request, jsonb_build_object('taken', taken, 'refused', refused) from reserved"""

_TEXTS = "select %s::jsonb as rows, %b::bytea[] as texts"
# For large requests, whose texts are binary parameters beside the rows.
RECEIVED_WITH_TEXTS = (
    RECEIVED.replace("select %s::jsonb as rows", _TEXTS)
    .replace("j as (select x.* from", "j as (select x.*, asked.texts[x.place] as sent from")
    .replace("klass text)", "klass text, place int)")
    .replace("decode(request, 'base64')", "coalesce(sent, decode(request, 'base64'))")
)

OVERRUN = f"""
    overrun as (
        insert into audit_event (at, action, tenant_id, request_id, actor, subject_id, api_key_id,
                                 client_net, route, model, upstream, success, status, error_code,
                                 detail)
        select at, '{Action.QUOTA_OVERRUN}', tenant_id, id, actor, subject_id, api_key_id,
               client_net, route, model, upstream, false, status, '', beyond
        from j where beyond is not null),"""

# An earlier attempt may have left this installation (worker/failover.py).
LEFT = """
    case when coalesce(hosted, false) then true when attempts < 2 and status = 200 then false
    else inference_has_left(id) end"""

# The ledger's second entry decides who settles: a second settlement writes nothing at all. If a
# group has two rows of one request (its runner got it back before the first was committed), the
# first one settles, as in tenants_settle. Returns (id, at) of those that it has settled.
SETTLED = f"""
    with asked as (select %s::jsonb as rows),
    ended as materialized (select r.request from asked, tenants_settle(asked.rows) r),
    j as (select distinct on (x.id) x.* from asked, rows from (jsonb_to_recordset(asked.rows) as (
        {record.COMPLETED_COLUMNS}, state text, cached int, finish_reason text, attempts int,
        queue_ms int, ttft_ms int, message text, cost bigint, member_id uuid,
        team_id uuid, beyond jsonb, pool text, klass text, hosted bool, cache text,
        repeated bool, gpu_ms bigint, millijoules bigint, session uuid))
        with ordinality as x
        join ended on ended.request = x.id order by x.id, x.ordinality),
    {record.COMPLETED},{OVERRUN}
    answered as (
        update inference_message m
        set ciphertext = decode(j.message, 'base64'), finish_reason = j.finish_reason
        from j where m.completion_id = j.id and m.ciphertext is null and j.message is not null),
    closed as (
        update inference_completion c set state = j.state, settled_at = j.at, pool = j.pool
        from j where c.id = j.id and c.state = 'open'),
    used as (insert into inference_usage
        (completion_id, tenant_id, api_key_id, member_id, team_id, model, pool, klass,
         prompt_tokens, completion_tokens, cached_tokens, cost, status, finish_reason, error_code,
         attempts, preemptions, queue_ms, ttft_ms, duration_ms, created_at, hosted, cache,
         repeated, gpu_ms, millijoules, adapter, adapter_version, session)
    select id, tenant_id, api_key_id, member_id, team_id, model, pool, klass,
           tokens_in, tokens_out, cached, cost, status, finish_reason, error_code,
           attempts, preemptions, queue_ms, ttft_ms, processing_ms, at, {LEFT}, coalesce(cache, ''),
           coalesce(repeated, false), coalesce(gpu_ms, 0), millijoules, coalesce(adapter, ''),
           coalesce(adapter_version, ''), session
    from j on conflict (completion_id) do nothing)
    select id, at from j"""


class Outcome(msgspec.Struct, kw_only=True):
    """The end of a completion. Tokens are the engine's count, or Forebay's if it was cut off."""

    state: str = "done"  # inference.models.State
    status: int = 200
    finish_reason: str = "stop"
    error_code: str = ""
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int = 0
    gpu_ms: int = 0
    millijoules: int | None = None  # that its GPUs took; None: not measured
    attempts: int = 1
    preemptions: int = 0  # how often it was preempted
    queue_ms: int | None = None
    ttft_ms: int | None = None
    upstream: str = ""  # the engine or service that served it
    engine: str = ""  # its name, unless that is its pool's
    text: str = ""  # as the reader got it
    reasoning: str = ""  # before the text
    response: bytes = b""  # as the audit trail stores it
    cache: str = ""  # as in inference.models.Usage

    @property
    def work_units(self) -> int:
        """Returns the work units that the fair queue charges."""
        return total_units(self.prompt_tokens, self.completion_tokens, self.gpu_ms)


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
