"""The durable moment of a decision: its row and its audit event, in one commit.

The statement runs over a list of rows in a group commit (audit/trail/group_commit.py). A row whose
idempotency key has a decision already is left out, and so has no result.
"""

import base64
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec

from audit.actions import Action
from audit.trail.commit_queue import Row

_COLUMNS = """
    id uuid, at timestamptz, tenant_id uuid, api_key_id uuid, person_id uuid, version_id uuid,
    policy_name text, version_number int, is_challenger bool, outcome text, score float8,
    raw_score float8, review_at float8, block_at float8, source text, fallback_reason text,
    deadline_ms int, latency_ms int, completion_id uuid, data_key_id uuid, request text,
    key_owner uuid, key text, key_body text, actor text, client_net inet, route text, model text"""
# Inserted in one order, so that two groups with the same keys cannot deadlock.
DECIDED = f"""
    with asked as (select %s::jsonb as rows),
    j as (select x.* from asked, jsonb_to_recordset(asked.rows) as x({_COLUMNS})),
    made as (
        insert into inference_decision
            (id, tenant_id, api_key_id, person_id, version_id, policy_name, version_number,
             is_challenger, outcome, score, raw_score, review_at, block_at, source,
             fallback_reason, deadline_ms, latency_ms, completion_id, data_key_id, ciphertext,
             key_owner, key, key_body, feedback, final, shadow_outcome, created_at)
        select id, tenant_id, api_key_id, person_id, version_id, policy_name, version_number,
               is_challenger, outcome, score, raw_score, review_at, block_at, source,
               fallback_reason, deadline_ms, latency_ms, completion_id, data_key_id,
               decode(request, 'base64'), key_owner, decode(key, 'hex'), decode(key_body, 'hex'),
               '', '',
               '', at
        from j order by tenant_id, key_owner, key, id on conflict do nothing returning id),
    told as (
        insert into audit_event (at, action, tenant_id, request_id, actor, subject_id, api_key_id,
                                 client_net, route, model, upstream, success, error_code,
                                 processing_ms, payload_sha256, detail)
        select at, '{Action.DECISION_MAKE}', tenant_id, id, actor, person_id, api_key_id,
               client_net, route, model, '', true, '', latency_ms,
               sha256(decode(request, 'base64')), jsonb_strip_nulls(jsonb_build_object(
                   'decision', 'dec_' || replace(id::text, '-', ''), 'policy', policy_name,
                   'version', version_number, 'outcome', outcome, 'source', source,
                   'fallback', nullif(fallback_reason, ''), 'completion', completion_id))
        from made join j using (id))
    select id, 'true'::jsonb from made
    union all
    select d.id, 'true'::jsonb from inference_decision d
    where d.id = any(array(select id from j))"""


class DecisionRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A decision as it is put on record. Its names are those of inference.models.Decision."""

    id: UUID
    at: datetime
    tenant_id: UUID
    api_key_id: UUID | None
    person_id: UUID
    version_id: UUID
    policy_name: str
    version_number: int
    is_challenger: bool
    outcome: str
    score: float | None
    raw_score: float | None
    review_at: float
    block_at: float
    source: str
    fallback_reason: str
    deadline_ms: int
    latency_ms: int
    completion_id: UUID | None
    data_key_id: UUID
    ciphertext: bytes
    key_owner: UUID | None = None
    key: bytes | None = None
    key_body: bytes | None = None
    actor: str
    client_net: str | None
    route: str
    model: str

    def row(self) -> Row:
        """Returns the parameters of DECIDED."""
        fields: dict[str, Any] = msgspec.structs.asdict(self)
        ciphertext = fields.pop("ciphertext")
        for name in ("key", "key_body"):
            fields[name] = fields[name].hex() if fields[name] else None
        simple: Row = {name: _simple(value) for name, value in fields.items()}
        return simple | {"request": base64.b64encode(ciphertext).decode()}


def _simple(value: Any) -> Any:
    if isinstance(value, UUID):
        return str(value)
    return value.isoformat() if isinstance(value, datetime) else value
