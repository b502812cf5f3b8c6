"""A request whose answer is a kept one: settled here, as by a runner, and given to its reader."""

import asyncio
import time
from contextlib import suppress
from typing import Any

import msgspec
import orjson

from audit.keys.keyring import Unreadable, keyring
from audit.keys.master_keys import MasterKeyUnavailable
from audit.trail.group_commit import StoreUnavailable
from inference.cache.answers import Answer
from inference.codec import events, pieces
from inference.errors import error_body
from inference.intake.answer_stream import AnswerStream
from inference.intake.context import Context
from inference.intake.kept_answers import Kept
from inference.order import Order
from inference.record import slots
from inference.record.statements import Outcome, settled_row
from inference.stream.frames import Frame, Kind, upstream
from tenants.quotas.charge import KeptCharge
from tenants.rate_limits.release import release
from tenants.redis_link import RedisGone

UPSTREAM = "cache"  # as the record names who answered
TRIES = 60  # once a second


async def replay_kept(context: Context, stream: AnswerStream, kept: Kept) -> None:
    """The last event leaves when its usage and its text are durable, not before."""
    order = _priced(stream.order)
    stream.order = order
    body = _ours(kept.answer, order)
    outcome = _outcome(kept, body)
    frame = _frame(order, body)
    try:
        cipher = await keyring.of_subject(order.tenant_id, order.subject_id)
        await context.settled.write(settled_row(order, outcome, cipher, time.time()))
    except (StoreUnavailable, Unreadable, MasterKeyUnavailable):
        text = error_body("the answer could not be put on record", "not_recorded", 503)
        frame = Frame(order.id.bytes, 1, 1, Kind.ERROR, text, 503)
    stream.sink.put(frame)
    context.rate_limiter.over(str(order.id))
    context.background.run(_release(context, order, len(body)))


def _priced(order: Order) -> Order:
    charge = KeptCharge(*msgspec.structs.astuple(order.charge))
    return msgspec.structs.replace(order, charge=charge)


def _ours(answer: Answer, order: Order) -> bytes:
    """With this request's id, and usage that says where it came from."""
    found: dict[str, Any] = orjson.loads(answer.body)
    usage = found.get("usage")
    if isinstance(usage, dict):
        usage["prompt_tokens_details"] = {"cached_tokens": answer.prompt_tokens}
    return orjson.dumps({**found, "id": order.public_id, "model": order.model})


def _outcome(kept: Kept, body: bytes) -> Outcome:
    said = events.said_of(body)
    return Outcome(
        finish_reason=kept.answer.finish_reason,
        prompt_tokens=kept.answer.prompt_tokens,
        completion_tokens=kept.answer.completion_tokens,
        cached_tokens=kept.answer.prompt_tokens,
        upstream=UPSTREAM,
        text=said.text,
        reasoning=said.reasoning,
        response=body,
        cache=kept.level,
    )


def _frame(order: Order, body: bytes) -> Frame:
    served_by = upstream(order.queue)
    if not order.stream:
        return Frame(order.id.bytes, 1, 0, Kind.BODY, body, upstream=served_by)
    given = [*pieces.of_answer(body, gives_usage=order.include_usage), events.DONE]
    text = b"".join(event + b"\n\n" for event in given)
    return Frame(order.id.bytes, 1, len(given), Kind.END, text, upstream=served_by)


async def _release(context: Context, order: Order, answer: int) -> None:
    """Its place in the limits, and its tokens: no engine has worked for it."""
    for _ in range(TRIES):
        with suppress(RedisGone):
            await release(context.redis, slots.slot(order), slots.set_aside(order), 0, answer)
            return
        await asyncio.sleep(1)
