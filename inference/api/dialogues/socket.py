"""The websocket of a widget: events of a dialogue, and messages of its visitor.

The first frame has the visitor's token, which no URL has, since URLs end up in logs:

    {"type": "hello", "token": "vt-fb-…", "after": "4.1"}
    {"type": "message", "id": "…", "text": "…"}
    {"type": "ping"}

Answers are `{"event": …, "id": …, "data": …}`, as the stream of the same dialogue has them. Frames
of the same message count once, also if it is sent over REST again.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import Iterator
from typing import Any
from uuid import UUID

import msgspec
import orjson
from django.db import DatabaseError

from audit.keys.master_keys.errors import MasterKeyUnavailable
from inference.api.call import Call
from inference.api.dialogues import callers, turns
from inference.api.dialogues.callers import Party
from inference.api.dialogues.feed import Cursor, Event, Feed
from inference.api.refusals import REFUSALS, as_error
from inference.dialogues import receiving
from inference.dialogues.receiving import Received
from inference.dialogues.scoped import in_tenant
from inference.errors import ApiError, BadRequest, Unauthorized
from inference.intake.context import context_of
from inference.models import Dialogue
from tenants.rate_limits.client_address import client_ip

log = logging.getLogger(__name__)
ROUTE = "/v1/dialogues/{id}/socket"
HELLO_S = 10.0  # until the token has come
LARGEST_FRAME = 32 * 1024  # characters
OVER, REFUSED, AGAIN_LATER = 1000, 4403, 1013
EVERY_S = 30.0  # the visitor's token and key are checked again
_AWAY = (DatabaseError, MasterKeyUnavailable)


class Hello(msgspec.Struct, frozen=True, tag_field="type", tag="hello"):
    token: str
    after: str = ""


class Message(msgspec.Struct, frozen=True, tag_field="type", tag="message"):
    id: UUID
    text: str


class Ping(msgspec.Struct, frozen=True, tag_field="type", tag="ping"):
    pass


_read = msgspec.json.Decoder(Hello | Message | Ping).decode


class Closed(Exception):
    """The page has closed the socket, or it is to be closed with this code."""

    def __init__(self, code: int = 0, reason: str = "") -> None:
        super().__init__(reason)
        self.code, self.reason = code, reason


async def serve(scope: Any, receive: Any, send: Any, public_id: str) -> None:
    """Serve a websocket until it closes."""
    socket = Socket(scope, receive, send, public_id)
    socket.call.counted.status = 101
    try:
        await socket.run()
    except Closed as closed:
        if closed.code:
            await socket.close(closed.code, closed.reason)
    finally:
        socket.call.end(f"WEBSOCKET {ROUTE}", {})


class Socket:
    def __init__(self, scope: Any, receive: Any, send: Any, public_id: str) -> None:
        self.call = Call(context_of(scope), ROUTE, client_ip(scope))
        self._receive, self._send, self._public_id = receive, send, public_id
        self._origin = dict(scope["headers"]).get(b"origin", b"").decode("latin-1")
        self._token, self._check_at = "", 0.0
        self._awaited = dict[UUID, asyncio.Task[None]]()  # message -> what tells that it failed

    async def run(self) -> None:
        """Raises Closed."""
        await self._receive()  # websocket.connect
        await self._send({"type": "websocket.accept"})
        with self._refusals_close(), contextlib.ExitStack() as counted:
            await callers.count_visitor(self.call)
            hello = await self._hello()
            party = await self._party()
            dialogue = await callers.dialogue_of(self.call, party, self._public_id)
            counted.enter_context(callers.counted_reader(self.call, dialogue))
            await self._talk(dialogue, Cursor.parsed(hello.after))
            raise Closed(OVER, "over")

    async def _hello(self) -> Hello:
        try:
            frame = await asyncio.wait_for(self._frame(), HELLO_S)
        except TimeoutError:
            raise Closed(REFUSED, "no token came") from None
        if not isinstance(frame, Hello):
            raise Unauthorized("the first frame must be `hello`, with a visitor's token")
        self._token = frame.token
        return frame

    async def _party(self) -> Party:
        """Returns the visitor as the token and its key are now. Raises Unauthorized, Forbidden."""
        self._check_at = time.monotonic() + EVERY_S
        return await callers.visiting(self.call, self._token, self._origin)

    async def _talk(self, dialogue: Dialogue, cursor: Cursor) -> None:
        reader = asyncio.create_task(self._follow(dialogue, cursor))
        try:
            while not reader.done():
                await self._next(dialogue, reader)
            await reader
        finally:
            for task in (reader, *self._awaited.values()):
                task.cancel()

    async def _next(self, dialogue: Dialogue, reader: "asyncio.Task[None]") -> None:
        """Take the next frame. The visitor is checked again now and then, however much they say."""
        frame = asyncio.ensure_future(self._frame())
        try:
            await asyncio.wait(
                (frame, reader),
                timeout=max(0.0, self._check_at - time.monotonic()),
                return_when=asyncio.FIRST_COMPLETED,
            )
            if time.monotonic() >= self._check_at:
                await self._party()
            if frame.done():
                await self._take(dialogue, frame.result())
        finally:
            frame.cancel()

    async def _take(self, dialogue: Dialogue, frame: Hello | Message | Ping) -> None:
        if isinstance(frame, Message):
            try:
                await self._message(dialogue, frame)
            except REFUSALS as refusal:
                await self._say(Event("error", _problem(as_error(refusal), frame.id)))
        elif isinstance(frame, Ping):
            await self._say(Event("pong", {}))

    async def _message(self, dialogue: Dialogue, frame: Message) -> None:
        party = await self._party()
        await callers.count_visitor(self.call)
        await self.call.count_request(party.caller)
        text = receiving.checked_text(frame.text)
        received = await in_tenant(
            dialogue.tenant_id, receiving.receive, dialogue, text, frame.id, by=party.actor
        )
        turns.start(self.call.context, received)
        if frame.id not in self._awaited:
            task = asyncio.create_task(self._tell_failure(dialogue, received, frame.id))
            self._awaited[frame.id] = task
            task.add_done_callback(lambda _task: self._awaited.pop(frame.id, None))

    async def _tell_failure(self, dialogue: Dialogue, received: Received, message_id: UUID) -> None:
        """Say that the message was not answered, and why. An answer is among the events."""
        try:
            await turns.outcome(dialogue, received)
        except REFUSALS as refusal:
            await self._say(Event("error", _problem(as_error(refusal), message_id)))
        except _AWAY:
            await self._say(Event("error", _problem(turns.error_of(""), message_id)))

    # The wire ------------------------------------------------------------------------------------
    async def _follow(self, dialogue: Dialogue, cursor: Cursor) -> None:
        async with contextlib.aclosing(Feed(dialogue, cursor).events()) as events:
            async for event in events:
                if event:
                    await self._say(event)

    async def _frame(self) -> Hello | Message | Ping:
        """Raises Closed, BadRequest."""
        message = await self._receive()
        if message["type"] == "websocket.disconnect":
            raise Closed
        text = message.get("text") or ""
        if len(text) > LARGEST_FRAME:
            raise BadRequest("a frame is too long")
        try:
            frame: Hello | Message | Ping = _read(text)
        except (msgspec.DecodeError, RecursionError) as problem:
            raise BadRequest(f"a frame could not be read: {problem}") from None
        return frame

    async def _say(self, event: Event) -> None:
        data = {"event": event.name, "id": event.id, "data": event.data}
        with contextlib.suppress(OSError):
            await self._send({"type": "websocket.send", "text": orjson.dumps(data).decode()})

    async def close(self, code: int, reason: str) -> None:
        with contextlib.suppress(OSError, RuntimeError):  # the page was faster
            await self._send({"type": "websocket.close", "code": code, "reason": reason[:120]})

    @contextlib.contextmanager
    def _refusals_close(self) -> Iterator[None]:
        """Raises Closed."""
        try:
            yield
        except REFUSALS as refusal:
            error = as_error(refusal)
            again = error.status == 429 or error.status >= 500
            raise Closed(AGAIN_LATER if again else REFUSED, error.code) from None
        except _AWAY as problem:
            log.warning("cannot serve a widget's socket: %s", problem)
            raise Closed(AGAIN_LATER, "out_of_service") from None


def _problem(error: ApiError, message_id: UUID) -> dict[str, Any]:
    return {
        "code": error.code,
        "message": error.message,
        "client_id": str(message_id),
        "retry_after": error.retry_after,
    }
