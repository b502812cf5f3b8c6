"""Decisions over gRPC."""

import asyncio

from inference.api.decision_flow import flow, requests
from inference.api.decision_flow.flow import Decided
from inference.api.decision_flow.requests import DecisionRequest
from inference.api.grpc.rpc import Rpc
from inference.api.grpc.stubs.forebay.v1 import decisions_pb2 as pb
from inference.intake.submission import Options
from tenants.caller import Caller


async def decide(rpc: Rpc, caller: Caller, request: pb.DecideRequest) -> pb.Decision:
    """Decide within the policy's deadline, or the call's if that is earlier."""
    began, options = asyncio.get_running_loop().time(), Options.of(rpc.header)
    input = requests.parsed_input(request.input)
    sent = {"policy": request.policy, "person": request.person, "input": input}
    body = requests.checked(sent)
    wanted = DecisionRequest(
        **body,
        began=began,
        length=request.ByteSize(),
        idempotency_key=options.idempotency_key,
        requested_class=options.requested_class,
        requested_residency=options.requested_residency,
        time_limit_s=rpc.time_left_s,
    )
    try:
        return _message(await flow.decide(rpc.call, caller, wanted))
    finally:
        rpc.call.release_body()


def _message(decided: Decided) -> pb.Decision:
    decision, content = decided
    reasons = content.reasons if content else []
    return pb.Decision(
        id=decision.public_id,
        created_at=int(decision.created_at.timestamp()),
        policy=decision.policy_name,
        version=decision.version_number,
        challenger=decision.is_challenger,
        outcome=decision.outcome,
        score=decision.score,
        raw_score=decision.raw_score,
        review_at=decision.review_at,
        block_at=decision.block_at,
        source=decision.source,
        fallback=decision.fallback_reason,
        reasons=[pb.DecisionReason(code=r.code, message=r.message) for r in reasons],
        deadline_ms=decision.deadline_ms,
        latency_ms=decision.latency_ms,
        completion=str(decision.completion_id or ""),
    )
