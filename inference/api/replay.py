"""Sends an earlier request's answer again, from its stored events or from the record."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import aclosing, contextmanager, suppress
from hashlib import sha256

from django.db import DatabaseError

from audit.keys.master_keys.errors import MasterKeyUnavailable
from inference.api import stream_resumption
from inference.api.call import Call
from inference.api.ownership import repeatable_in_scope
from inference.codec import pieces
from inference.errors import Conflict, error_body
from inference.intake.access.revocation import refusal
from inference.intake.answer_stream import AnswerStream, ReaderGone
from inference.intake.errors import OutOfService
from inference.intake.idempotency_claim import HEADER
from inference.intake.recording import OnRecord
from inference.models import Completion, State, Usage
from inference.order import Order
from inference.record.recorded_requests import recorded_answer, recorded_order
from inference.stream.cursor import follow
from inference.stream.frames import Frame, Kind
from inference.stream.reader_buffer import ReaderBuffer
from infrastructure.redis.link import RedisGone
from tenants.caller import Caller
from tenants.quotas.ledger_answer import NO_QUOTA
from tenants.rate_limits.admission import Admission

POLL_S = 0.5  # between checks for the end of an answer in one piece


@contextmanager
def in_service() -> Iterator[None]:
    """Raises OutOfService if the database or a key is unavailable."""
    try:
        yield
    except (DatabaseError, MasterKeyUnavailable) as problem:
        raise OutOfService(str(problem)) from None


class Replay(AnswerStream):
    """An `AnswerStream` of an earlier request, whose run it never ends."""

    def __init__(
        self, call: Call, caller: Caller, completion: Completion, order: Order, ciphertext: bytes
    ) -> None:
        recorded = OnRecord(ciphertext, NO_QUOTA, sha256(ciphertext[16:]).hexdigest())
        super().__init__(call.context, order, ReaderBuffer(), Admission(""), recorded)
        self._call, self._caller, self._completion = call, caller, completion
        self._last = 0  # number of the last event
        self._lost = ""  # why the caller's access has ended

    async def frames(self) -> AsyncGenerator[Frame | None]:
        """Raises ReaderGone, NotAdmitted, OutOfService, Unavailable."""
        with in_service():
            if self._completion.state == State.OPEN:
                async with aclosing(self._while_open()) as frames:
                    async for frame in frames:
                        yield frame
                        if frame and frame.final:
                            return
            yield await self._from_record()

    async def whole(self) -> Frame:
        """Returns the final frame. Raises as `frames` does."""
        async with aclosing(self.frames()) as frames:
            async for frame in frames:
                if frame and frame.final:
                    return frame
        raise ReaderGone

    def give_up(self) -> None:
        """Do nothing: another stream runs it."""

    def leave(self) -> None:
        """Do nothing: there is no place in a queue."""

    # While it runs -------------------------------------------------------------------------------
    async def _while_open(self) -> AsyncGenerator[Frame | None]:
        revocation = self._call.context.revocation
        with stream_resumption.counted(self._call, self._caller):
            revocation.attend(self, self._caller.credential, self._lose)
            try:
                async with aclosing(self._events()) as frames:
                    async for frame in frames:
                        yield frame
            finally:
                revocation.dismiss(self)

    async def _events(self) -> AsyncGenerator[Frame | None]:
        async for frame in self._looks():
            if self.buffer.hung_up:
                raise ReaderGone
            if self._lost:
                status, body = refusal(self._lost)
                yield Frame(b"", 99, self._last + 1, Kind.ERROR, body, status)
                return
            self._last = frame.last if frame else self._last
            yield frame
            if not (frame or await self._goes_on()):
                return

    async def _goes_on(self) -> bool:
        if self.order.stream:
            return await stream_resumption.more_may_come(self._completion)
        return await stream_resumption.still_open(self._completion)

    async def _looks(self) -> AsyncIterator[Frame | None]:
        """Yields its stored events without end, and None after each check without any."""
        redis, order = self._call.context.redis, self.order
        while True:
            if order.stream:
                with suppress(RedisGone):
                    async for frame in follow(redis, order.id.bytes, self._last):
                        yield frame
            await asyncio.sleep(POLL_S)
            yield None

    def _lose(self, reason: str) -> None:
        self._lost = reason

    # From the record -----------------------------------------------------------------------------
    async def _from_record(self) -> Frame:
        if self._last:
            what = f"the rest of this answer was lost on its way; send it again with its {HEADER}"
            return _error(self._last + 1, 502, "stream_lost", what)
        return await repeatable_in_scope(self.order.tenant_id, _recorded, self.order)


async def replay_of(call: Call, caller: Caller, completion: Completion) -> Replay:
    """Returns the replay. Raises Conflict if its text has been erased."""
    record = await repeatable_in_scope(completion.tenant_id, recorded_order, completion.pk)
    if record is None:
        raise answer_gone("its text has been erased")
    ciphertext, order = record
    return Replay(call, caller, completion, order, ciphertext)


def answer_gone(reason: str) -> Conflict:
    return Conflict(
        f"this {HEADER} was used, and its answer cannot be sent again: {reason}; a new key runs "
        "the request anew",
        code="idempotency_answer_gone",
        param=HEADER,
    )


def _recorded(order: Order) -> Frame:
    usage = Usage.objects.get(completion_id=order.id)
    if usage.finish_reason in ("cancelled", "error"):
        # Its error once more: it ran, and is paid for as far as it came.
        code = usage.error_code or usage.finish_reason
        message = f"this request had begun and ended with `{code}`; a new {HEADER} runs it anew"
        return _error(1, usage.status, code, message)
    response = recorded_answer(order)
    if response is None:
        error = answer_gone("its text has been erased")
        return Frame(order.id.bytes, 99, 1, Kind.ERROR, error.body(), error.status)
    if not order.stream:
        return Frame(order.id.bytes, usage.attempts, 0, Kind.BODY, response)
    try:
        number, body = pieces.as_events(response, include_usage=order.include_usage)
    except (LookupError, TypeError, ValueError, AttributeError):  # the record has only its text
        error = answer_gone("a worker of an earlier version recorded it")
        return Frame(order.id.bytes, 99, 1, Kind.ERROR, error.body(), error.status)
    return Frame(order.id.bytes, usage.attempts, number, Kind.END, body)


def _error(last: int, status: int, code: str, message: str) -> Frame:
    return Frame(b"", 99, last, Kind.ERROR, error_body(message, code, status), status)
