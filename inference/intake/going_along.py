"""A stream that gets the events of another one, which is the same and in flight, as they come.

It is a request of its own: on record, with its own numbers, kept events, usage and end. While it
goes along, no queue has it, and a word in Redis keeps the sweeper from putting it into one. When
its process dies, that word runs out; when the other one breaks off, it goes into its queue at once:
then a runner goes on from the events that it has been given.
"""

import asyncio
import logging
import time
from collections import Counter
from contextlib import suppress

from inference.cache.flights import Leader, leader
from inference.cache.second_level import TROUBLE
from inference.codec import events as sse
from inference.errors import error_body
from inference.intake.context import Context
from inference.intake.enqueue import enqueue
from inference.intake.errors import OutOfService
from inference.intake.kept_answers import SHARED_S
from inference.intake.replay_kept import let_go, priced
from inference.intake.shared_answer import cut_off, is_open, is_settled, last_events, shared
from inference.order import Order
from inference.record.goes_along import SAY_S, say
from inference.record.statements import Outcome
from inference.stream.cursor import follow
from inference.stream.frames import Frame, Kind, upstream
from inference.stream.sink import Sink
from infrastructure.redis.link import RedisGone

log = logging.getLogger(__name__)


class GoingAlong:
    def __init__(self, context: Context, order: Order, ciphertext: bytes, sink: Sink) -> None:
        self._context, self._order = context, order
        self._ciphertext, self._sink = ciphertext, sink
        self._given: list[bytes] = []  # events, with this request's id
        self._first_at: float | None = None
        self._cancelled = self._is_queued = False

    def begin(self, first: Leader) -> None:
        self._task = asyncio.create_task(self._work(first))
        self._context.cancellation.going_along[self._order.id] = self._cancel
        self._context.kept_answers.along[self._order.tenant_id] += 1
        self._task.add_done_callback(self._ended)

    async def _cancel(self) -> bool:
        """False where its queue has it by now."""
        if self._is_queued:
            return False
        self._cancelled = True
        self._task.cancel()
        await asyncio.wait([self._task])
        return True

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._context.cancellation.going_along.pop(self._order.id, None)
        self._context.kept_answers.along -= Counter([self._order.tenant_id])
        if not task.cancelled() and (problem := task.exception()):
            log.error("a request that went along with another failed", exc_info=problem)

    async def _work(self, first: Leader) -> None:
        saying = asyncio.create_task(self._say())
        try:
            await self._go_along(first)
        except asyncio.CancelledError:
            if not self._cancelled:  # this process stops: a runner goes on with it
                raise
            await self._settle_cancelled()
        finally:
            saying.cancel()

    async def _say(self) -> None:
        while True:
            with suppress(RedisGone):
                await say(self._context.redis, self._order.id)
            await asyncio.sleep(SAY_S)

    # Along ---------------------------------------------------------------------------------------
    async def _go_along(self, first: Leader) -> None:
        other: Leader | None = first
        while other:
            with suppress(RedisGone):
                if (tail := await self._copied(other)) and await self._end(other, tail):
                    return
            other = await self._next(other)
        await self._context.writer.written(self._order.id.bytes)
        self._is_queued = True
        with suppress(OutOfService):  # then it is settled
            await enqueue(self._context, self._order, self._ciphertext, self._sink, attempt=2)

    async def _copied(self, other: Leader) -> list[bytes]:
        """Its last events, once it has ended; none where it broke off, or says something else."""
        theirs, until = 0, time.monotonic() + SHARED_S
        async for frame in follow(self._context.redis, other.id.bytes):
            if frame is None:
                is_late = not theirs and time.monotonic() > until
                if is_late or not await is_open(self._order, other):
                    return []
                continue
            if frame.kind == Kind.ERROR:
                return []
            events = [self._ours(event, other) for event in sse.split(frame.body)]
            if frame.kind == Kind.END:
                return events if theirs >= self._sent else []
            if not self._give(events, theirs):
                return []
            theirs += len(events)
        return []

    @property
    def _sent(self) -> int:
        return len(self._given)

    def _ours(self, event: bytes, other: Leader) -> bytes:
        ours = self._order.public_id
        theirs = ours.replace(self._order.id.hex, other.id.hex)
        return event.replace(b'"%b"' % theirs.encode(), b'"%b"' % ours.encode(), 1)

    def _give(self, events: list[bytes], theirs: int) -> bool:
        """What follows the first `theirs` of the other one's. False where the reader has been given
        something else, by another one than this.
        """
        again = self._given[theirs : theirs + len(events)]
        if events[: len(again)] != again:
            return False
        if fresh := events[len(again) :]:
            self._given += fresh
            self._first_at = self._first_at or time.time()
            self._put(Kind.EVENTS, fresh)
        return True

    async def _next(self, before: Leader) -> Leader | None:
        """Of those that went along with what broke off, one asks an engine."""
        try:
            other, _ = await self._context.kept_answers.lead_or_follow(self._order)
        except TROUBLE:
            return None
        found = leader(other, self._order.cached) if other else None
        may = found and self._context.kept_answers.may_go_along(self._order, found)
        return found if found and may and found.id != before.id else None

    # The end -------------------------------------------------------------------------------------
    async def _end(self, other: Leader, tail: list[bytes]) -> bool:
        """False where the other one has ended without an answer."""
        replay = await shared(self._order, other, [*self._given, *tail])
        if replay is None:
            return False
        if await self._is_settled(replay.order, replay.outcome):
            self._put(Kind.END, last_events(replay, tail))
        else:
            text = error_body("the answer could not be put on record", "not_recorded", 503)
            self._put(Kind.ERROR, [text])
        self._over(len(replay.body))
        return True

    async def _settle_cancelled(self) -> None:
        outcome = cut_off(self._given)
        await self._is_settled(priced(self._order), outcome)
        self._over(len(outcome.response))

    async def _is_settled(self, order: Order, outcome: Outcome) -> bool:
        outcome.ttft_ms = self._ttft_ms()
        return await is_settled(self._context, order, outcome)

    def _ttft_ms(self) -> int | None:
        at = self._first_at
        return None if at is None else max(0, int((at - self._order.created_at) * 1000))

    def _over(self, answer: int) -> None:
        self._context.rate_limiter.over(str(self._order.id))
        self._context.background.run(let_go(self._context, self._order, answer))

    def _put(self, kind: Kind, given: list[bytes]) -> None:
        last = self._sent + (len(given) if kind is not Kind.EVENTS else 0)
        body = given[0] if kind is Kind.ERROR else b"".join(event + b"\n\n" for event in given)
        status = 503 if kind is Kind.ERROR else 200
        named = upstream(self._order.queue)
        frame = Frame(self._order.id.bytes, 1, last, kind, body, status, upstream=named)
        self._context.writer.put(self._order, frame)
