"""Reads a stream again, for its caller. A chat's stream can be read only in the chat."""

import asyncio
import re
from collections.abc import Awaitable, Callable, Hashable, Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from uuid import UUID

from django.db.models import Exists, OuterRef
from django.utils import timezone

from inference.api import ownership
from inference.api.call import Call
from inference.api.ownership import repeatable_in_scope
from inference.codec import pieces
from inference.errors import Cancelled, NotFound, Unavailable, error_body
from inference.intake.access.revocation import refusal
from inference.intake.answer_stream import LOST_AFTER_S
from inference.intake.limits.concurrency import EVERYBODY
from inference.intake.refusals import not_admitted
from inference.models import Completion, StoredResponse, Usage
from inference.models.completion import State
from inference.record.recorded_requests import recorded_answer, recorded_order
from inference.stream.cursor import follow
from inference.stream.frames import Frame, Kind, unseen
from inference.stream.writer import ENDED_S
from infrastructure.redis.link import RedisGone, RedisLink
from tenants.caller import Caller
from tenants.rate_limits.admission import Admission

READERS_PER_KEY, READERS_PER_TENANT = 32, 256
AGAIN_S, TRIES = 1.0, 60  # of a reader while Redis is away
_PREFIX = re.compile("^(?:(?:chatcmpl|cmpl|rerank)-|(?:resp|msg)_)")
Write = Callable[[Frame | None], Awaitable[None]]


async def own(call: Call, caller: Caller, completion_id: str) -> Completion:
    """Returns the caller's stream. Raises NotFound, and records an attempt at another's."""
    refusal = NotFound("there is no such stream")
    if (pk := parsed_id(completion_id)) is None:
        raise refusal
    deleted = StoredResponse.objects.deleted().filter(pk=OuterRef("pk"))
    streams = Completion.objects.filter(~Exists(deleted), stream=True)
    return await ownership.own(call, caller, streams, pk, refusal, "stream_not_found")


def parsed_id(text: str) -> UUID | None:
    """Returns a request's id: bare, or as the answers of OpenAI's and Anthropic's APIs have it."""
    try:
        return UUID(_PREFIX.sub("", text, count=1))
    except ValueError:
        return None


@contextmanager
def counted(call: Call, caller: Caller) -> Iterator[None]:
    """Count as one of the readers of the key and the tenant. Raises NotAdmitted, Unavailable."""
    names = _enter(call, caller)
    try:
        yield
    finally:
        call.context.limits.readers.leave(*names)


def _enter(call: Call, caller: Caller) -> tuple[Hashable, Hashable]:
    limits = (caller.credential, READERS_PER_KEY), (caller.tenant_id, READERS_PER_TENANT)
    full = call.context.limits.readers.enter(*limits)
    if full == EVERYBODY:
        raise Unavailable("too many streams are read here; try again", retry_after=2)
    if full is not None:
        of_key = full == caller.credential
        tier = "key_readers" if of_key else "readers"
        most = READERS_PER_KEY if of_key else READERS_PER_TENANT
        admission = Admission(tier, most, most, 1000, scope=tier)
        raise not_admitted(call.context, admission, caller, call.route, call.client_ip)
    return caller.credential, caller.tenant_id


async def read_on(
    call: Call, caller: Caller, completion: Completion, after: int, write: Write
) -> None:
    """Write the frames after event `after`, and None after a second of silence.

    If the caller's access ends meanwhile, or the events have expired, the last frame is an error.
    Raises Unavailable while Redis is away for long.
    """
    reading = _Reading(completion, after, write)
    task = asyncio.ensure_future(reading.go_on(call.context.redis))
    reasons = list[str]()

    def end(reason: str) -> None:
        reasons.append(reason)
        task.cancel()

    call.context.revocation.attend(task, caller.credential, end)
    try:
        await task
    except asyncio.CancelledError:
        task.cancel()
        if not reasons:
            raise
        await reading.end(*refusal(reasons[0]))
    finally:
        call.context.revocation.dismiss(task)


class _Reading:
    def __init__(self, completion: Completion, after: int, write: Write) -> None:
        self._completion, self._last, self._write = completion, after, write

    async def go_on(self, redis: RedisLink) -> None:
        """Write what there is and what comes, as soon as Redis answers. Raises Unavailable."""
        if frame := await _of_kept_answer(self._completion):
            rest = unseen(frame, self._last)
            return await self._write(rest) if rest else None
        for _ in range(TRIES):
            with suppress(RedisGone):
                return await self._read(redis)
            await self._write(None)
            await asyncio.sleep(AGAIN_S)
        raise Unavailable("the events of this stream cannot be read; try again", retry_after=2)

    async def _read(self, redis: RedisLink) -> None:
        async for frame in follow(redis, self._completion.id.bytes, self._last):
            if frame:
                self._last = frame.last
            elif ended := await _end_of(self._completion):
                return await self.end(*ended)
            await self._write(frame)
        return None

    async def end(self, status: int, error: bytes) -> None:
        await self._write(Frame(b"", 0, self._last, Kind.ERROR, error, status))


async def _of_kept_answer(completion: Completion) -> Frame | None:
    """Returns the events of a stream that a kept answer ended at once: they are in no history."""
    if completion.state != State.DONE or not _ended_within(completion, ENDED_S):
        return None
    return await repeatable_in_scope(completion.tenant_id, _kept, completion)


def _kept(completion: Completion) -> Frame | None:
    usages = Usage.objects.filter(completion=completion).exclude(cache__in=("", "miss"))
    record = recorded_order(completion.pk) if usages.exists() else None
    answer = recorded_answer(record[1]) if record else None
    if record is None or answer is None:
        return None
    number, body = pieces.as_events(answer, include_usage=record[1].include_usage)
    return Frame(completion.pk.bytes, 1, number, Kind.END, body)


_EXPIRED = error_body(
    "these events are no longer kept; send the request again", "stream_expired", 404
)


_CANCELLED = error_body(Cancelled().message, Cancelled.code, Cancelled.status)


async def _end_of(completion: Completion) -> tuple[int, bytes] | None:
    """Returns status and error of a stream without a final event; None while one may come."""
    present = await _present(completion)
    if present and (present.state == State.OPEN or _ended_lately(present)):
        return None
    if present is None or present.state == State.DONE:
        return 404, _EXPIRED
    return await repeatable_in_scope(completion.tenant_id, _recorded_end, present)


def _recorded_end(completion: Completion) -> tuple[int, bytes]:
    """Returns the error that is on record; of what its caller has ended, that it was cancelled."""
    usages = Usage.objects.filter(completion=completion).exclude(error_code="")
    if not (ended := usages.values_list("status", "error_code").first()):
        is_cancelled = completion.state == State.CANCELLED
        return (Cancelled.status, _CANCELLED) if is_cancelled else (404, _EXPIRED)
    status, code = ended
    return status, error_body(f"this request ended with `{code}`", code, status)


async def still_open(completion: Completion) -> bool:
    present = await _present(completion)
    return present is not None and present.state == State.OPEN


async def more_may_come(completion: Completion) -> bool:
    """Returns whether a further event of its stream may come."""
    return await _end_of(completion) is None


def _ended_lately(completion: Completion) -> bool:
    """Returns whether its last event, which leaves after the record, may be on its way."""
    is_cancelled = completion.state == State.CANCELLED
    return not is_cancelled and _ended_within(completion, LOST_AFTER_S)


def _ended_within(completion: Completion, seconds: float) -> bool:
    ended_at = completion.settled_at
    return ended_at is not None and abs(timezone.now() - ended_at) < timedelta(seconds=seconds)


async def _present(completion: Completion) -> Completion | None:
    """Returns it with its present state; None if it has been erased."""
    rows = Completion.objects.filter(pk=completion.pk).only("state", "settled_at")
    return await repeatable_in_scope(completion.tenant_id, rows.first)
