"""The inbox's websocket. It tells a page what changed; the page reads over HTTP, no text travels.

    from the page: {"type": "watch", "dialogue": ID}, {"type": "ping"}
    to the page:   {"type": "inbox"}, {"type": "dialogue", "dialogue": ID}, {"type": "pong"}

While a socket is open, its member keeps the dialogues that they have. It is closed within a second
after the member's access, role or session has ended.
"""

import asyncio
import contextlib
import logging
from typing import Any
from uuid import UUID

import msgspec
from channels.generic.websocket import AsyncWebsocketConsumer
from django.db import DatabaseError
from django.urls import path

from console.inbox.session import InboxSession
from inference.chat import problems
from inference.chat.threads import off_loop
from inference.dialogues import changes, handing_over, inbox_news
from inference.intake.context import context_of
from inference.intake.limits.concurrency import EVERYBODY
from inference.models import Dialogue
from inference.models.assistants.hand_over import LEASE
from tenants.roles import Permission

log = logging.getLogger(__name__)
SOCKETS_PER_PERSON = 16
RENEW_S = LEASE.total_seconds() / 3
MAX_FRAME = 1024


class Watch(msgspec.Struct, frozen=True, tag="watch"):
    dialogue: UUID


class Ping(msgspec.Struct, frozen=True, tag="ping"):
    pass


class InboxChanged(msgspec.Struct, frozen=True, tag="inbox"):
    pass


class DialogueChanged(msgspec.Struct, frozen=True, tag="dialogue"):
    dialogue: UUID


class Pong(msgspec.Struct, frozen=True, tag="pong"):
    pass


ToPage = InboxChanged | DialogueChanged | Pong
_decoder = msgspec.json.Decoder(Watch | Ping)
_encoder = msgspec.json.Encoder()


class InboxConsumer(AsyncWebsocketConsumer):
    session: InboxSession
    _watched: UUID | None = None
    _counted = False

    async def __call__(self, *asgi: Any) -> None:
        self._tasks: set[asyncio.Task[None]] = set()
        try:
            await super().__call__(*asgi)
        finally:
            self._cleanup()

    async def connect(self) -> None:
        session = await InboxSession.of(self.scope)
        if session is None:
            return await self.close()
        self.session, context = session, context_of(self.scope)
        full = context.limits.sockets.enter((session.user.pk, SOCKETS_PER_PERSON))
        self._counted = full is None
        await self.accept()
        if full is not None:
            code = problems.AGAIN_LATER if full == EVERYBODY else problems.TOO_MANY
            return await self.close(code, "too many connections are open; close some")
        await self.channel_layer.group_add(
            inbox_news.group(session.member.tenant_id), self.channel_name
        )
        needed = Permission.ANSWER_DIALOGUES
        context.revocation.attend(self, session.member.id, self._lost, needed)
        context.revocation.attend(session, session.session_key, self._signed_out)
        self._begin(self._keep())
        return None

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        try:
            message = _decoder.decode((text_data or "")[: MAX_FRAME + 1])
        except (msgspec.DecodeError, RecursionError):
            return None  # of no page of ours
        if isinstance(message, Ping):
            return await self._say(Pong())
        await self._watch(message.dialogue)
        return None

    async def inbox_changed(self, _event: dict[str, Any]) -> None:
        await self._say(InboxChanged())

    async def dialogue_changed(self, _event: dict[str, Any]) -> None:
        if self._watched:
            await self._say(DialogueChanged(self._watched))

    async def _watch(self, dialogue_id: UUID) -> None:
        """Follow one dialogue of the tenant, in place of the one before."""
        look = off_loop(self.session.member, _exists)
        if not await look(self.session.member.tenant_id, dialogue_id):
            return
        await self._unwatch()
        await self.channel_layer.group_add(changes.group(dialogue_id), self.channel_name)
        self._watched = dialogue_id
        await self._say(DialogueChanged(dialogue_id))  # of what happened before it could hear

    async def _unwatch(self) -> None:
        if self._watched:
            group = changes.group(self._watched)
            await self.channel_layer.group_discard(group, self.channel_name)
            self._watched = None

    async def _keep(self) -> None:
        """Renew the leases of the member's dialogues while the socket is open."""
        member = self.session.member
        renew = off_loop(member, handing_over.renew)
        while True:
            with contextlib.suppress(DatabaseError):
                await renew(member.tenant_id, member.actor)
            await asyncio.sleep(RENEW_S)

    # Ends ----------------------------------------------------------------------------------------
    def _lost(self, reason: str) -> None:
        code = problems.NOT_A_MEMBER if reason == "access_revoked" else problems.TENANT_CLOSED
        self._begin(self.close(code, reason))

    def _signed_out(self, reason: str) -> None:
        self._begin(self.close(problems.SIGNED_OUT, reason))

    async def websocket_disconnect(self, message: Any) -> None:
        if hasattr(self, "session"):
            await self._unwatch()
            self.groups = [inbox_news.group(self.session.member.tenant_id)]
        await super().websocket_disconnect(message)

    def _cleanup(self) -> None:
        for task in self._tasks:
            task.cancel()
        if not hasattr(self, "session"):
            return
        context = context_of(self.scope)
        if self._counted:
            context.limits.sockets.leave(self.session.user.pk)
        context.revocation.dismiss(self)
        context.revocation.dismiss(self.session)

    def _begin(self, work: Any) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _say(self, message: ToPage) -> None:
        with contextlib.suppress(OSError):  # the page is gone, its disconnect on the way
            await self.send(text_data=_encoder.encode(message).decode())


def _exists(tenant_id: UUID, dialogue_id: UUID) -> bool:
    return Dialogue.objects.filter(tenant_id=tenant_id, pk=dialogue_id).exists()


_inbox: Any = InboxConsumer.as_asgi()
websocket_urlpatterns: list[Any] = [path("ws/inbox/", _inbox)]
