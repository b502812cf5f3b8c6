"""The signed-in person of a socket, as a member of one tenant."""

import asyncio
import time
from dataclasses import dataclass, field
from importlib import import_module
from types import SimpleNamespace
from typing import Any, cast
from urllib.parse import parse_qs

from django.conf import settings
from django.contrib.auth import get_user
from django.http import HttpRequest

from inference.chat.membership import is_valid, membership
from inference.chat.problems import NOT_A_MEMBER, SIGNED_OUT, TENANT_CLOSED, Dismissed
from inference.chat.threads import off_loop_for
from inference.intake.access.allowed import NotAllowed
from inference.intake.access.revocation import RESTRICTED, RESTRICTED_TEXT
from inference.intake.context import Context, context_of
from tenants.accounts import sessions
from tenants.accounts.required_actions import duty
from tenants.authentication.authenticator import Restricted, TenantClosed, UnknownCaller
from tenants.caller import Caller
from tenants.models import Member, User
from tenants.rate_limits.client_address import client_ip

TRUSTED_S = 0.5  # a check of session and membership is valid for this long
_sessions = import_module(settings.SESSION_ENGINE)


@dataclass(eq=False)
class ChatSession:
    context: Context
    user: User
    member: Member
    session_key: str
    client_ip: str
    language: str
    _good_until: float = field(default=0.0, init=False)

    @classmethod
    async def of(cls, scope: Any) -> "ChatSession | None":
        user = scope["user"]
        query = parse_qs(scope["query_string"].decode("latin-1"))
        tenant = query.get("tenant", [""])[0]
        if not user.is_authenticated or await off_loop_for(user, duty)(scope["session"], user):
            return None
        member = await off_loop_for(user, membership)(user, tenant)
        if member is None:
            return None
        language = query.get("language", [""])[0]
        supported = language if language in dict(settings.LANGUAGES) else settings.LANGUAGE_CODE
        key = scope["session"].session_key
        return cls(context_of(scope), user, member, key, client_ip(scope), supported)

    async def caller(self) -> Caller:
        """Returns the caller, after a check of session and membership.

        Raises Dismissed if one of them has ended, NotAllowed, AuthenticationUnavailable.
        """
        now = asyncio.get_running_loop().time()
        if now >= self._good_until:
            await off_loop_for(self.user, self._check)()
            self._good_until = now + TRUSTED_S
        try:
            return await self.context.authenticator.by_member(self.member.id)
        except TenantClosed:
            raise Dismissed(TENANT_CLOSED) from None
        except Restricted:
            raise NotAllowed(RESTRICTED, RESTRICTED_TEXT) from None
        except UnknownCaller:
            raise Dismissed(NOT_A_MEMBER) from None

    async def note_activity(self) -> None:
        """Note that the person is not idle, once a minute at most."""
        await off_loop_for(self.user, self._note_activity)()

    def _note_activity(self) -> None:
        session = _sessions.SessionStore(self.session_key)
        if time.time() - session.get(sessions.SEEN, 0.0) >= sessions.SEEN_EVERY_S:
            session[sessions.SEEN] = time.time()
            session.save(must_create=False)

    def _check(self) -> None:
        session = _sessions.SessionStore(self.session_key)
        person = get_user(cast("HttpRequest", SimpleNamespace(session=session)))
        if person.pk != self.user.pk or sessions.over(session) or duty(session, self.user):
            raise Dismissed(SIGNED_OUT)
        if not is_valid(self.member.id, self.user):
            raise Dismissed(NOT_A_MEMBER)
