"""Answers a request from the cache: settles it as a runner would, and gives it to its reader."""

import time
from dataclasses import dataclass
from functools import partial

import msgspec

from audit.keys.keyring import Cipher, Unreadable, keyring
from audit.keys.master_keys.errors import MasterKeyUnavailable
from audit.trail.commit_queue import Row
from audit.trail.group_commit import LARGE, StoreUnavailable
from inference.codec import events, pieces, vectors
from inference.errors import error_body
from inference.intake.answer_stream import AnswerStream
from inference.intake.cache_lookup import CacheHit
from inference.intake.context import Context
from inference.order import Order
from inference.record import limit_usage
from inference.record.outcome import Outcome
from inference.record.request_rows import settled_row
from inference.record.settle import settle
from inference.stream.frames import Frame, Kind, upstream
from tenants.quotas.charge import KeptCharge
from tenants.rate_limits.held_slots import release

UPSTREAM = "cache"  # the serving engine in the record
LARGEST = LARGE // 2  # bytes of a request


@dataclass(frozen=True, slots=True)
class CachedReplay:
    """A cached answer, turned into this request's own."""

    order: Order
    body: bytes
    outcome: Outcome

    @classmethod
    def of(cls, order: Order, hit: CacheHit) -> "CachedReplay":
        order = priced(order)
        answer = hit.answer
        own_body = vectors.own_body if order.task else pieces.own_body
        body = own_body(answer.body, order.public_id, order.public_model, answer.prompt_tokens)
        return cls(order, body, _outcome(hit, body))

    def settled(self, cipher: Cipher) -> Row:
        return settled_row(self.order, self.outcome, cipher, time.time())

    @property
    def fits_one_commit(self) -> bool:
        """Returns whether one commit records and settles it (record/settle.py)."""
        return self.order.size <= LARGEST and not self.order.idempotent


async def replay_kept(
    context: Context, stream: AnswerStream, replay: CachedReplay, *, settled: bool
) -> None:
    """Send the answer. The last event leaves after its usage and text are durable."""
    order = replay.order
    frame = _frame(order, replay.body)
    if not (settled or await _settles(context, replay)):
        text = error_body("the answer could not be put on record", "not_recorded", 503)
        frame = Frame(order.id.bytes, 1, 1, Kind.ERROR, text, 503)
    stream.buffer.put(frame)
    context.limits.rate.over(str(order.id))
    # Its place in the limits, and its tokens: no engine has worked for it.
    held = limit_usage.slot(order), limit_usage.reserved_tokens(order), 0, len(replay.body)
    context.background.insist(partial(release, context.redis, *held))


async def _settles(context: Context, replay: CachedReplay) -> bool:
    order = replay.order
    try:
        cipher = await keyring.of_subject(order.tenant_id, order.subject_id)
        return await settle(context.commits.settled, replay.settled(cipher))
    except (StoreUnavailable, Unreadable, MasterKeyUnavailable):
        return False


def priced(order: Order) -> Order:
    charge = KeptCharge(*msgspec.structs.astuple(order.charge))
    return msgspec.structs.replace(order, charge=charge)


def _outcome(hit: CacheHit, body: bytes) -> Outcome:
    words = events.said_of(body)
    return Outcome(
        finish_reason=hit.answer.finish_reason,
        prompt_tokens=hit.answer.prompt_tokens,
        completion_tokens=hit.answer.completion_tokens,
        cached_tokens=hit.answer.prompt_tokens,
        upstream=UPSTREAM,
        text=words.text,
        reasoning=words.reasoning,
        response=body,
        cache=hit.level,
    )


def _frame(order: Order, body: bytes) -> Frame:
    served_by = upstream(order.queue)
    if not order.stream:
        return Frame(order.id.bytes, 1, 0, Kind.BODY, body, upstream=served_by)
    number, text = pieces.as_events(body, include_usage=order.include_usage)
    return Frame(order.id.bytes, 1, number, Kind.END, text, upstream=served_by)
