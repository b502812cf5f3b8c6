"""Puts a decision on record: no answer leaves without it."""

from datetime import UTC, datetime
from typing import NamedTuple
from uuid import uuid4

import msgspec
import psycopg

from audit.trail.group_commit import StoreUnavailable
from audit.trail.truncated_address import network
from inference.api.call import Call
from inference.api.decision_flow import reasons
from inference.api.decision_flow.clock import Clock
from inference.api.decision_flow.engine_score import Scored
from inference.api.decision_flow.people import Subject
from inference.decisions import scoring
from inference.decisions.scoring import Verdict
from inference.decisions.serving import PolicyInForce, Serving
from inference.intake.errors import OutOfService
from inference.intake.idempotency_claim import Claim
from inference.models import Decision
from inference.models.decisions.decision import Content, aad
from inference.record.decided import DecisionRecord
from inference.validation.schemas import Body
from tenants.caller import Caller


class Matter(NamedTuple):
    """The matter of a decision and whoever decides: all but the model's answer."""

    policy: Serving
    version: PolicyInForce
    caller: Caller
    subject: Subject
    input: Body  # checked, with the version's defaults
    sent: Body  # as it was sent
    claim: Claim | None


class Recorded(NamedTuple):
    decision: Decision
    content: Content


async def record(call: Call, matter: Matter, scored: Scored, clock: Clock) -> Recorded | None:
    """Returns the decision on record; None if the key has another one. Raises OutOfService."""
    spec = matter.version.spec
    if scored.raw is None:
        verdict = scoring.fallback(spec, matter.input)
    else:
        verdict = scoring.verdict(scored.raw, spec, matter.input)
    content = Content(matter.input, reasons.of(verdict, spec, matter.input, scored.reason))
    row = _record(call, matter, scored, verdict, content, clock)
    try:
        written = await clock.in_time(call.context.commits.decided.write(row.row()))
    except (StoreUnavailable, psycopg.Error) as problem:
        raise OutOfService(str(problem)) from None
    return Recorded(_decision(row), content) if written else None


def _record(
    call: Call, matter: Matter, scored: Scored, verdict: Verdict, content: Content, clock: Clock
) -> DecisionRecord:
    spec, caller, version, claim = matter.version.spec, matter.caller, matter.version, matter.claim
    cipher, decision_id = matter.subject.cipher, uuid4()
    return DecisionRecord(
        id=decision_id,
        at=datetime.now(UTC),
        tenant_id=caller.tenant_id,
        api_key_id=caller.api_key_id,
        person_id=matter.subject.id,
        version_id=version.id,
        policy_name=matter.policy.name,
        version_number=version.number,
        is_challenger=version is not matter.policy.champion,
        outcome=verdict.outcome,
        score=verdict.score,
        raw_score=scored.raw,
        review_at=spec.thresholds.review,
        block_at=spec.thresholds.block,
        source=verdict.source,
        fallback_reason=str(scored.reason),
        deadline_ms=spec.deadline_ms,
        latency_ms=clock.took_ms,
        completion_id=scored.completion_id,
        data_key_id=cipher.key_id,
        ciphertext=content.encrypted(cipher, aad(caller.tenant_id, decision_id)),
        key_owner=claim.owner if claim else None,
        key=claim.key if claim else None,
        key_body=claim.body if claim else None,
        actor=caller.actor,
        client_net=network(call.client_ip),
        route=call.route,
        model=spec.model,
    )


def _decision(row: DecisionRecord) -> Decision:
    """Returns the decision as the database has it."""
    fields = msgspec.structs.asdict(row)
    created_at: datetime = fields.pop("at")
    for name in ("actor", "client_net", "route", "model"):
        fields.pop(name)
    return Decision(created_at=created_at, **fields)
