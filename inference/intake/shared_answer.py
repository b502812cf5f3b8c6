"""The end of a stream that got another one's events: the same answer, as its own."""

import time

import msgspec
import orjson
from channels.db import database_sync_to_async
from django.db import DatabaseError

from audit.keys.keyring import Cipher, Unreadable, keyring
from audit.keys.master_keys import MasterKeyUnavailable
from audit.trail.group_commit import StoreUnavailable
from inference.cache.answers import Answer
from inference.cache.flights import Leader
from inference.codec import events as sse
from inference.codec import pieces
from inference.intake.cancellation import CANCELLED
from inference.intake.context import Context
from inference.intake.kept_answers import SHARED, Kept
from inference.intake.replay_kept import UPSTREAM, Replay
from inference.models import Completion, Usage
from inference.order import Order
from inference.record.settling import settles
from inference.record.statements import Outcome, settled_row
from tenants.scope import tenant_scope

AWAY = (StoreUnavailable, Unreadable, MasterKeyUnavailable, DatabaseError)


@database_sync_to_async
def is_open(order: Order, other: Leader) -> bool:
    """Whether the other one has not ended yet."""
    with tenant_scope(order.tenant_id):
        return Completion.objects.open().filter(pk=other.id).exists()


async def shared(order: Order, other: Leader, events: list[bytes]) -> Replay | None:
    """Of all `events` of the other one; None where it has ended without an answer."""
    try:
        usage = await _usage(order, other)
    except DatabaseError:
        return None
    if usage is None or usage.status != 200 or usage.error_code:
        return None
    prompt, answer = usage.prompt_tokens, usage.completion_tokens
    told = {"prompt_tokens": prompt, "completion_tokens": answer, "total_tokens": prompt + answer}
    body = pieces.as_answer([event for event in events if event != sse.DONE], told)
    return Replay.of(order, Kept(Answer(body, usage.finish_reason, prompt, answer, 0), SHARED))


@database_sync_to_async
def _usage(order: Order, other: Leader) -> Usage | None:
    with tenant_scope(order.tenant_id):
        return Usage.objects.filter(pk=other.id).first()


def last_events(replay: Replay, tail: list[bytes]) -> list[bytes]:
    """What ends the text, then usage as this request has it."""
    ends = [_without_usage(event) for event in tail if sse.parsed(event).get("choices")]
    *_, usage = pieces.of_answer(replay.body, gives_usage=True)
    return [*ends, *([usage] if replay.order.include_usage else []), sse.DONE]


def _without_usage(event: bytes) -> bytes:
    """That of this request is another one."""
    chunk = sse.parsed(event)
    return b"data: " + orjson.dumps(chunk) if chunk.pop("usage", None) else event


def cut_off(given: list[bytes]) -> Outcome:
    """Its reader has gone after these events. No engine has read a prompt for it."""
    text = "".join(map(sse.text_in, given))
    return msgspec.structs.replace(
        CANCELLED,
        completion_tokens=sum(1 for event in given if any(sse.said_in(event))),
        text=text,
        response=text.encode(),
        upstream=UPSTREAM,
        cache=SHARED,
    )


async def is_settled(context: Context, order: Order, outcome: Outcome) -> bool:
    """False where another end is on record, or none can be put there."""
    try:
        cipher = await _cipher(order, outcome)
        return await settles(context.settled, settled_row(order, outcome, cipher, time.time()))
    except AWAY:
        return False


async def _cipher(order: Order, outcome: Outcome) -> Cipher | None:
    """None where it was cut off because its person has been erased: no text is kept."""
    try:
        return await keyring.of_subject(order.tenant_id, order.subject_id)
    except Unreadable:
        if outcome.state != CANCELLED.state:
            raise
        return None
