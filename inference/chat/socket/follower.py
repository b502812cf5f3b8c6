"""Brings one answer to one socket, from any event on, through outages of Redis."""

import asyncio
import contextlib
import math
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from uuid import UUID

import orjson
from django.db import DatabaseError

from audit.keys.master_keys.errors import MasterKeyUnavailable
from inference.chat.answers import turn
from inference.chat.problems import problem
from inference.chat.protocol import Delta, End, ToPage, Turn, Waiting, Whole
from inference.codec.events import said_in, split
from inference.models import Message
from inference.queue.expected_wait import Place
from inference.queue.fair_queue import FairQueue
from inference.reasoning import Said
from inference.stream.cursor import follow
from inference.stream.frames import Frame, Kind
from infrastructure.redis.link import RedisGone, RedisLink

RETRY_S = 0.5
_AWAY = (RedisGone, DatabaseError, MasterKeyUnavailable)


@dataclass
class Follower:
    """`look` returns the stored turn, `place` the present place in the queue."""

    redis: RedisLink
    say: Callable[[ToPage], Awaitable[None]]
    look: Callable[[UUID], Awaitable[Turn | None]]
    message_id: UUID
    completion_id: UUID
    last: int  # event that the page has
    place: Callable[[], Place] = Place
    _ended: bool = False
    _gap: bool = False
    _upstream: str = ""
    _waiting: Waiting | None = None  # the last one sent

    async def run(self) -> None:
        """Send the answer. Returns when the page has all of it, with its end.

        The events of a page that has the last one are over at once: the record has the end.
        """
        await self._say_place()
        while not self._ended:
            for attempt in (self._read, self._send_from_record):
                with contextlib.suppress(*_AWAY):
                    await attempt()
                if self._ended:
                    return
            await asyncio.sleep(RETRY_S)

    async def _read(self) -> None:
        async for frame in follow(self.redis, self.completion_id.bytes, self.last):
            if frame:
                await self._pass_on(frame)
            else:
                await self._send_from_record()
            if self._ended:
                return
            if not frame:
                await self._say_place()

    async def _say_place(self) -> None:
        """Send the place in the queue until the first event."""
        place = self.place()
        if self.last or not place.position:
            return
        if place.pool:
            with contextlib.suppress(RedisGone):  # by what this process knows, then
                queue = FairQueue(self.redis, place.pool)
                place = await queue.in_turn(place, str(self.completion_id))
        waiting = Waiting(self.message_id, place.position - 1, math.ceil(place.wait_s))
        if waiting != self._waiting:
            self._waiting = waiting
            await self.say(waiting)

    async def _pass_on(self, frame: Frame) -> None:
        self._upstream = frame.upstream or self._upstream
        if frame.kind != Kind.ERROR:
            words = [said_in(event) for event in split(frame.body)]
            # Redis has lost unread events: the record has the whole text.
            self._gap = self._gap or frame.last - len(words) > self.last
            if not self._gap:
                await self.say(_delta(self.message_id, frame.last, words))
                self.last = frame.last
        if frame.final:
            await self._say_end(frame)

    async def _say_end(self, frame: Frame) -> None:
        """Send the end. The answer is recorded by now, unless that is what failed."""
        stored = await self.look(self.message_id)
        if stored and not stored.streaming:
            if self._gap:
                await self.say(Whole(self.message_id, stored.text, stored.reasoning))
            await self._end(end(stored, self._upstream))
        else:
            await self._end(self._failed(frame, stored))

    def _failed(self, frame: Frame, stored: Turn | None) -> End:
        code = "lost" if stored else "not_found"  # deleted meanwhile, which cancels it
        if stored and frame.kind == Kind.ERROR:
            code = orjson.loads(frame.body)["error"]["code"]
        return End(self.message_id, "error", error=problem(code))

    async def _send_from_record(self) -> None:
        """Send a finished answer from the record, and nothing of one that is being written."""
        stored = await self.look(self.message_id)
        if stored and stored.streaming:
            return
        if stored:
            await self.say(Whole(self.message_id, stored.text, stored.reasoning))
            await self._end(end(stored))
        else:
            await self._end(End(self.message_id, "error", error=problem("not_found")))

    async def _end(self, message: End) -> None:
        await self.say(message)
        self._ended = True


def _delta(message_id: UUID, last: int, words: list[Said]) -> Delta:
    texts, thoughts = [piece.text for piece in words], [piece.reasoning for piece in words]
    return Delta(message_id, last, texts, thoughts if any(thoughts) else [])


def end(stored: Turn, upstream: str = "") -> End:
    return End(stored.id, stored.finish_reason, stored.figures, stored.error, upstream)


def stored_turn(message_id: UUID) -> Turn | None:
    """Returns the turn; None if it has been deleted."""
    message = Message.objects.filter(pk=message_id).select_related("conversation").first()
    return turn(message) if message else None
