"""Brings one answer to one socket, from any event on, whatever Redis does meanwhile."""

import asyncio
import contextlib
import math
from collections.abc import Awaitable, Callable
from uuid import UUID

import orjson
from django.db import DatabaseError

from inference.chat.answers import turn
from inference.chat.problems import problem
from inference.chat.protocol import Delta, End, ToPage, Turn, Waiting, Whole
from inference.codec.events import said_in, split
from inference.models import Message
from inference.queue.expected_wait import Place
from inference.reasoning import Said
from inference.stream.cursor import follow
from inference.stream.frames import Frame, Kind
from infrastructure.redis.link import RedisGone, RedisLink

RETRY_S = 0.5


class Follower:
    def __init__(
        self,
        redis: RedisLink,
        say: Callable[[ToPage], Awaitable[None]],
        look: Callable[[UUID], Awaitable[Turn | None]],
        message_id: UUID,
        completion_id: UUID,
        after: int,
        place: Callable[[], Place] = Place,
    ) -> None:
        """`place`: in the queue, by now."""
        self._redis, self._say, self._look, self._place = redis, say, look, place
        self.message_id, self.completion_id = message_id, completion_id
        self.last = after
        self._gap = False
        self._upstream = ""
        self._waiting: Waiting | None = None  # as it was said last

    async def run(self) -> None:
        """Returns when the page has the whole answer."""
        await self._say_place()
        while True:
            try:
                await self._read()
                return
            except (RedisGone, DatabaseError):
                await asyncio.sleep(RETRY_S)
            with contextlib.suppress(DatabaseError):
                if await self._said_from_record():
                    return

    async def _read(self) -> None:
        async for frame in follow(self._redis, self.completion_id.bytes, self.last):
            if frame:
                await self._pass_on(frame)
            elif await self._said_from_record():
                return
            else:
                await self._say_place()

    async def _say_place(self) -> None:
        """While nothing has come."""
        place = self._place()
        if self.last or not place.position:
            return
        waiting = Waiting(self.message_id, place.position - 1, math.ceil(place.wait_s))
        if waiting != self._waiting:
            self._waiting = waiting
            await self._say(waiting)

    async def _pass_on(self, frame: Frame) -> None:
        self._upstream = frame.upstream or self._upstream
        if frame.kind != Kind.ERROR:
            said = [said_in(event) for event in split(frame.body)]
            # Redis was lost with events in it that nobody had read: the record has them.
            self._gap = self._gap or frame.last - len(said) > self.last
            if not self._gap:
                await self._say(_delta(self.message_id, frame.last, said))
                self.last = frame.last
        if frame.final:
            await self._say_end(frame)

    async def _say_end(self, frame: Frame) -> None:
        """It is on record by now, unless that is what failed."""
        found = await self._look(self.message_id)
        if found and not found.streaming:
            if self._gap:
                await self._say(Whole(self.message_id, found.text, found.reasoning))
            await self._say(end(found, self._upstream))
        else:
            await self._say(self._failed(frame, found))

    def _failed(self, frame: Frame, found: Turn | None) -> End:
        code = "lost" if found else "not_found"  # deleted meanwhile, which cancels it
        if found and frame.kind == Kind.ERROR:
            code = orjson.loads(frame.body)["error"]["code"]
        return End(self.message_id, "error", error=problem(code))

    async def _said_from_record(self) -> bool:
        """When no events come: the answer may be over, and its events gone."""
        found = await self._look(self.message_id)
        if found and found.streaming:
            return False
        if found:
            await self._say(Whole(self.message_id, found.text, found.reasoning))
            await self._say(end(found))
        else:
            await self._say(End(self.message_id, "error", error=problem("not_found")))
        return True


def _delta(message_id: UUID, last: int, said: list[Said]) -> Delta:
    thoughts = [piece.reasoning for piece in said]
    return Delta(
        message_id, last, [piece.text for piece in said], thoughts if any(thoughts) else []
    )


def end(found: Turn, upstream: str = "") -> End:
    return End(found.id, found.finish_reason, found.figures, found.error, upstream)


def on_record(message_id: UUID) -> Turn | None:
    """None when it has been deleted."""
    message = Message.objects.filter(pk=message_id).select_related("conversation").first()
    return turn(message) if message else None
