"""The playground's websocket: one for each model, one request each.

    from the page: {"model": NAME, "fields": {the form's fields}}
    to the page:   messages of running.py; then the socket is closed

A page that closes the socket cancels its request.
"""

import asyncio
import contextlib
from typing import Any

import msgspec
from channels.generic.websocket import AsyncWebsocketConsumer
from django.urls import path
from django.utils import translation

from audit.trail.request_origin import acting_from
from audit.trail.truncated_address import network
from console.playground import running
from console.playground.forms import LONGEST, PlaygroundForm
from console.playground.running import Refused, ToPage
from inference.chat import problems
from inference.chat.socket.chat_session import ChatSession
from inference.chat.threads import off_loop
from inference.intake.context import Context, context_of
from inference.intake.limits.concurrency import EVERYBODY
from tenants.roles import Permission

SOCKETS_PER_PERSON = 16
MAX_FRAME = 6 * LONGEST  # characters: four long fields, escaped
DONE = 1000


class Run(msgspec.Struct, frozen=True):
    model: str
    fields: dict[str, str]


_decoder = msgspec.json.Decoder(Run)
_encoder = msgspec.json.Encoder()


class PlaygroundConsumer(AsyncWebsocketConsumer):
    channel_layer_alias = ""  # no other process has messages for it
    session: ChatSession
    _counted = _over = False
    _task: asyncio.Task[None] | None = None

    async def __call__(self, *asgi: Any) -> None:
        try:
            await super().__call__(*asgi)
        finally:
            self._cleanup()

    @property
    def context(self) -> Context:
        return context_of(self.scope)

    async def connect(self) -> None:
        session = await ChatSession.of(self.scope)
        if session is None:
            return await self.close()
        may = off_loop(session.member, session.member.may, repeatable=True)
        if not await may(Permission.USE_PLAYGROUND):
            return await self.close()
        self.session, context = session, self.context
        translation.activate(session.language)
        full = context.limits.sockets.enter((session.user.pk, SOCKETS_PER_PERSON))
        self._counted = full is None
        await self.accept()
        if full is not None:
            code = problems.AGAIN_LATER if full == EVERYBODY else problems.TOO_MANY
            return await self.close(code, "too many connections are open; close some")
        needed = Permission.USE_PLAYGROUND
        context.revocation.attend(self, session.member.id, self._lost, needed)
        context.revocation.attend(session, session.session_key, self._signed_out)
        return None

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        """Begin the request of the first message. Further ones are of no page of ours."""
        if self._task is None:
            self._task = asyncio.create_task(self._run(text_data or ""))

    async def _run(self, text: str) -> None:
        try:
            body = self._body(text)
            caller = await self.session.caller()
            await self.session.note_activity()
            with acting_from(network(self.session.client_ip)):
                await running.run(self.context, caller, self.session.client_ip, body, self._say)
        except problems.Dismissed as dismissed:
            return await self.close(dismissed.close_code)
        except _Unread as unread:
            await self._say(Refused(400, "invalid_request", unread.text))
        except Exception as failure:
            problem = problems.explained(failure)
            await self._say(Refused(503, problem.code, problem.text))
        await self.close(DONE)
        return None

    def _body(self, text: str) -> dict[str, Any]:
        """Returns the request of the page's form. Raises _Unread."""
        if len(text) > MAX_FRAME:
            raise _Unread(problems.problem("too_long").text)
        try:
            wanted = _decoder.decode(text)
        except (msgspec.DecodeError, RecursionError):
            raise _Unread(problems.problem("invalid_message").text) from None
        form = PlaygroundForm(wanted.fields)
        if not form.is_valid():
            raise _Unread(form.problems)
        return form.body(wanted.model)

    def _lost(self, reason: str) -> None:
        code = problems.NOT_A_MEMBER if reason == "access_revoked" else problems.TENANT_CLOSED
        self._end(code, reason)

    def _signed_out(self, reason: str) -> None:
        self._end(problems.SIGNED_OUT, reason)

    def _end(self, code: int, reason: str) -> None:
        if self._task:
            self._task.cancel()
        self._task = asyncio.create_task(self.close(code, reason))

    async def close(self, code: Any = None, reason: Any = None) -> None:
        self._over = True
        await super().close(code, reason)

    def _cleanup(self) -> None:
        if self._task:
            self._task.cancel()
        if not hasattr(self, "session"):
            return
        if self._counted:
            self.context.limits.sockets.leave(self.session.user.pk)
        self.context.revocation.dismiss(self)
        self.context.revocation.dismiss(self.session)

    async def _say(self, message: ToPage) -> None:
        if self._over:
            return
        with contextlib.suppress(OSError):  # the page is gone, its disconnect on the way
            await self.send(text_data=_encoder.encode(message).decode())


class _Unread(Exception):
    """The page's message is no request."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text


_playground: Any = PlaygroundConsumer.as_asgi()
websocket_urlpatterns: list[Any] = [path("ws/playground/", _playground)]
