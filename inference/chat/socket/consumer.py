"""The chat's websocket: a person sends, follows and stops; answers arrive as numbered pieces.

Nothing here blocks the reading of the socket: each message is a task, each followed answer another,
and all end with the socket. Generations go on.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Coroutine
from typing import Any
from uuid import UUID

import msgspec
from channels.generic.websocket import AsyncWebsocketConsumer
from django.utils import translation
from msgspec import structs

from audit.trail.request_origin import acting_from
from audit.trail.truncated_address import network
from inference.chat import problems, protocol
from inference.chat.answers import branch_turns
from inference.chat.exchanges import Exchange
from inference.chat.listed import listed
from inference.chat.placement import MOST_PARTS, Request
from inference.chat.protocol import Again, Follow, FromPage, Ping, Problem, Send, Stop, ToPage
from inference.chat.socket import sending, tabs
from inference.chat.socket.chat_session import ChatSession
from inference.chat.socket.follower import Follower, stored_turn
from inference.chat.socket.stopping import own_answer, stop
from inference.chat.threads import off_loop
from inference.intake.context import Context, context_of
from inference.intake.limits.concurrency import EVERYBODY
from inference.models import Message
from inference.queue.expected_wait import Place
from tenants.caller import Caller

log = logging.getLogger(__name__)
MAX_TASKS, MAX_FOLLOWED = 16, 8
SOCKETS_PER_PERSON, FOLLOWED_PER_PERSON = 16, 32


class ChatConsumer(AsyncWebsocketConsumer):
    chat_session: ChatSession
    _over = _counted = False

    async def __call__(self, *asgi: Any) -> None:
        self._tasks: set[asyncio.Task[None]] = set()
        self._followed: dict[UUID, asyncio.Task[None]] = {}
        try:
            await super().__call__(*asgi)
        finally:
            self._cleanup()

    @property
    def context(self) -> Context:
        return context_of(self.scope)

    async def connect(self) -> None:
        chat_session = await ChatSession.of(self.scope)
        if chat_session is None:
            return await self.close()
        self.chat_session = chat_session
        translation.activate(chat_session.language)
        if (full := self._enter()) is not None:
            await self.accept()  # else no code would reach the page
            return await self.close(*full)
        await self.channel_layer.group_add(tabs.group(chat_session.member.id), self.channel_name)
        await self.accept()
        self.context.revocation.attend(self, chat_session.member.id, self._lost)
        self.context.revocation.attend(chat_session, chat_session.session_key, self._signed_out)
        return None

    def _enter(self) -> tuple[int, str] | None:
        """Returns close code and reason if there are too many sockets."""
        full = self.context.limits.sockets.enter((self.chat_session.user.pk, SOCKETS_PER_PERSON))
        self._counted = full is None
        if full is None:
            return None
        if full == EVERYBODY:
            return problems.AGAIN_LATER, "too many connections here; try again later"
        reason = f"{SOCKETS_PER_PERSON} connections of this person are open; close some"
        return problems.TOO_MANY, reason

    def _lost(self, reason: str) -> None:
        """Close when membership, role or tenant have ended, also for a silent page."""
        code = problems.NOT_A_MEMBER if reason == "access_revoked" else problems.TENANT_CLOSED
        self._begin(self.close(code, reason))

    def _signed_out(self, reason: str) -> None:
        """Close after a sign-out or a new password."""
        self._begin(self.close(problems.SIGNED_OUT, reason))

    async def close(self, code: Any = None, reason: Any = None) -> None:
        self._over = True  # tasks under way cannot reach the page any more
        await super().close(code, reason)

    def _cleanup(self) -> None:
        """Release all, also for a connection that failed half-way, without a disconnect message."""
        if self._counted:
            self.context.limits.sockets.leave(self.chat_session.user.pk)
        self.context.revocation.dismiss(self)
        for task in [*self._tasks, *self._followed.values()]:
            task.cancel()
        if hasattr(self, "chat_session"):
            self.context.revocation.dismiss(self.chat_session)

    async def websocket_disconnect(self, message: Any) -> None:
        if hasattr(self, "chat_session"):
            self.groups = [tabs.group(self.chat_session.member.id)]
        await super().websocket_disconnect(message)

    async def chat_changed(self, event: dict[str, str]) -> None:
        """Tell the page of a change in another tab (tabs.py)."""
        if event["origin"] != self.channel_name:
            await self._say(protocol.Changed(UUID(event["conversation"])))

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        text = text_data or ""
        try:
            message = protocol.read(text)
        except msgspec.DecodeError as refused:
            code = "too_long" if "length <=" in str(refused) else "invalid_message"
            return await self._fail(problems.problem(code), protocol.named(text))
        if len(self._tasks) >= MAX_TASKS:
            return await self._fail(problems.problem("too_much"), _about(message))
        self._begin(self._answer(message))
        return None

    # One message ---------------------------------------------------------------------------------
    async def _answer(self, message: FromPage) -> None:
        try:
            with acting_from(network(self.chat_session.client_ip)):
                await self._do(await self.chat_session.caller(), message)
        except problems.Dismissed as dismissed:
            await self.close(dismissed.close_code)
        except Exception as failure:
            await self._fail(problems.explained(failure), _about(message))

    async def _do(self, caller: Caller, message: FromPage) -> None:
        match message:
            case Send() | Again():
                await self.chat_session.note_activity()
                await self._send(caller, message)
            case Follow():
                answer = await self._own_answer(message.message)
                assert answer.completion_id
                self._follow(answer.id, answer.completion_id, message.after)
            case Stop():
                answer = await self._own_answer(message.message)
                assert answer.completion_id
                await stop(self.context, self.chat_session.member, answer.completion_id)
            case Ping():
                await self._say(protocol.Pong())

    async def _own_answer(self, message_id: UUID) -> Message:
        member = self.chat_session.member
        return await off_loop(member, own_answer, repeatable=True)(member, message_id)

    async def _send(self, caller: Caller, send: Request) -> None:
        member, client_ip = self.chat_session.member, self.chat_session.client_ip
        exchange = await sending.submit(self.context, caller, member, send, client_ip)
        assert exchange.answer.completion_id
        try:
            started = await off_loop(member, _started_message, repeatable=True)(exchange)
        except Exception as failure:
            # It runs: after an error the person would send it again, and pay twice. A page that
            # comes back sends it under its id.
            log.warning("cannot confirm a chat message: %r", failure, exc_info=failure)
            return await self.close(problems.AGAIN_LATER)
        await self._say(started)
        self._follow(exchange.answer.id, exchange.answer.completion_id, 0, exchange.place)
        await tabs.announce(member.id, exchange.conversation.id, self.channel_name)
        return None

    # Following -----------------------------------------------------------------------------------
    def _follow(
        self,
        message_id: UUID,
        completion_id: UUID,
        after: int,
        place: Callable[[], Place] = Place,
    ) -> None:
        """Follow an answer. The oldest followed one gives way: a page shows one at a time."""
        if earlier := self._followed.pop(message_id, None):
            earlier.cancel()
        if len(self._followed) >= MAX_FOLLOWED:
            self._followed.pop(next(iter(self._followed))).cancel()
        followers, person = self.context.limits.followers, self.chat_session.user.pk
        if followers.enter((person, FOLLOWED_PER_PERSON)) is not None:
            raise problems.ChatRefused("too_much")
        look = off_loop(self.chat_session.member, stored_turn, repeatable=True)
        redis = self.context.redis
        follower = Follower(redis, self._say, look, message_id, completion_id, after, place)

        def forget(task: asyncio.Task[None]) -> None:
            followers.leave(person)
            if self._followed.get(message_id) is task:
                del self._followed[message_id]

        self._followed[message_id] = self._started(follower.run(), forget)

    def _begin(self, work: Coroutine[Any, Any, None]) -> None:
        self._tasks.add(self._started(work, self._tasks.discard))

    def _started(self, work: Coroutine[Any, Any, None], forget: Any) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        task.add_done_callback(forget)
        task.add_done_callback(_log_problem)
        return task

    # Speaking ------------------------------------------------------------------------------------
    async def _say(self, message: ToPage) -> None:
        if self._over:
            return
        with contextlib.suppress(OSError):  # the page is gone, its disconnect on the way
            await self.send(text_data=protocol.written(message))

    async def _fail(self, problem: Problem, about: UUID | None = None) -> None:
        await self._say(protocol.Failed(**structs.asdict(problem), message=about))


def _about(message: FromPage) -> UUID | None:
    return getattr(message, "message", None)


def _started_message(exchange: Exchange) -> protocol.Started:
    conversation, end = exchange.conversation, exchange.answer.id
    *_, question, answer = branch_turns(conversation, end, newest=MOST_PARTS + 1)
    return protocol.Started(listed(conversation), question, answer)


def _log_problem(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (problem := task.exception()):
        log.error("chat task failed: %r", problem, exc_info=problem)
