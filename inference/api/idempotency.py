"""`Idempotency-Key`: a request that is sent twice runs once, and has one answer for 24 hours.

A key belongs to an API key and to those that it was rotated from or to. It is free again when its
request came to nothing: refused by a limit, or failed before anything ran.
"""

import hmac
from dataclasses import replace
from uuid import UUID

import msgspec

from inference.api.call import TEMPLATE, Call
from inference.api.ownership import readable, repeatable_in_scope
from inference.api.replay import Replay, answer_gone, in_service, replay_of
from inference.errors import Conflict, KeyReused
from inference.intake.answer_stream import AnswerStream
from inference.intake.errors import KeyTaken
from inference.intake.idempotency_claim import HEADER, Claim
from inference.intake.key_lookup import claimed_if_new
from inference.intake.submission import Submission
from inference.models import Completion, IdempotencyKey, State, StoredResponse, Usage
from tenants.caller import Caller
from tenants.models import ApiKey

REPLAYED = (b"x-forebay-replayed", b"true")
FINAL = (b"x-should-retry", b"false")
TRIES = 3  # more than one only if another request was faster


async def submit(call: Call, submission: Submission) -> AnswerStream:
    """Submit, or replay the answer of the key; then the memory of the body is free.

    Raises like `Call.submit`; Conflict, KeyReused.
    """
    try:
        return await _submit(call, submission)
    finally:
        call.release_body()


async def _submit(call: Call, submission: Submission) -> AnswerStream:
    caller, claim = submission.caller, submission.claim
    if claim is None:
        return await call.submit(submission)
    for _ in range(TRIES):
        with in_service():
            new = await claimed_if_new(call.context.lookups, caller, claim)
            claim_or_completion = new or await _look_up(caller, claim)
            if isinstance(claim_or_completion, Completion):
                return await _replayed(call, caller, claim_or_completion)
        try:
            return await call.submit(msgspec.structs.replace(submission, claim=claim_or_completion))
        except KeyTaken:
            continue
    raise key_in_use()


def key_in_use() -> Conflict:
    return Conflict(
        f"another request with this {HEADER} has just begun; send this one again",
        code="idempotency_key_in_use",
        retry_after=1,
    )


async def _replayed(call: Call, caller: Caller, completion: Completion) -> Replay:
    answer = await replay_of(call, caller, completion)
    await call.add_limit_headers(caller)
    call.request_id, call.has_answer = str(completion.pk), True
    call.headers = [line for line in call.headers if line[0] != TEMPLATE]  # it would be today's
    call.headers.append(REPLAYED)
    if completion.state == State.FAILED:
        call.headers.append(FINAL)  # SDKs would ask for the same failure again
    call.tell_answer(answer, completion.queue)
    return answer


async def _look_up(caller: Caller, claim: Claim) -> Claim | Completion:
    return await repeatable_in_scope(caller.tenant_id, _claim_or_completion, caller, claim)


def _claim_or_completion(caller: Caller, claim: Claim) -> Claim | Completion:
    """Returns the claim to submit with, or the completion that the key belongs to."""
    owner = owner_of(caller)
    claim = replace(claim, owner=owner)
    keys = IdempotencyKey.objects.filter(tenant_id=caller.tenant_id, owner=owner)
    key = keys.filter(key=claim.key).first()
    if key is None:
        return claim
    completion = _completion_of(key, claim)
    if completion is None:
        return replace(claim, instead_of=key.completion_id)
    if not readable(Completion.objects.all(), caller).filter(pk=completion.pk).exists():
        raise answer_gone("this API key may not read the answer")  # rotated by another person
    if StoredResponse.objects.deleted().filter(pk=completion.pk).exists():
        raise answer_gone("its response has been deleted")
    return completion


def owner_of(caller: Caller) -> UUID:
    """Returns an owner that is the same for all keys rotated into each other."""
    if caller.api_key_id is None:
        return caller.subject_id
    line = ApiKey.objects.line_of(caller.api_key_id).order_by("created_at", "pk")
    return line.values_list("pk", flat=True).first() or caller.api_key_id


def _completion_of(key: IdempotencyKey, claim: Claim) -> Completion | None:
    """Returns the key's completion, None if the key is free. Raises KeyReused."""
    if key.is_over:
        return None
    refuse_another_request(key, claim)
    completion = Completion.objects.filter(pk=key.completion_id).first()
    return None if completion is None or _came_to_nothing(completion) else completion


def refuse_another_request(key: IdempotencyKey, claim: Claim) -> None:
    """Raises KeyReused if the key was sent with another request than the claim's."""
    if not hmac.compare_digest(bytes(key.body), claim.body):
        raise KeyReused(
            f"this {HEADER} was sent with another request less than 24 hours ago; send a new "
            "request with a new key, or the same request again, byte for byte the same values",
            param=HEADER,
        )


def _came_to_nothing(completion: Completion) -> bool:
    if completion.state in (State.OPEN, State.DONE):
        return False
    used = Usage.objects.filter(completion=completion)
    return used.filter(prompt_tokens=0, completion_tokens=0, gpu_ms=0).exists()
