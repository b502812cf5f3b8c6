"""A session ends when its person has been away for too long, and after twelve hours anyway.

How long is too long says the profile that binds them. Presence is written down once a minute at
most, and with it what may have changed since: the profile, a password that has become too old.
"""

import time
from typing import cast

from allauth.usersessions.models import UserSession
from django.contrib.auth.models import AnonymousUser
from django.db import transaction
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.deprecation import MiddlewareMixin

from audit.actions import Action
from console.account import session_acts
from console.account.password_policy import overdue
from tenants.accounts import sessions
from tenants.accounts.person_profile import profile_of
from tenants.accounts.required_actions import NEW_PASSWORD
from tenants.models import User
from tenants.scope import person_scope


class SessionLimits(MiddlewareMixin):
    """After AuthenticationMiddleware."""

    def process_request(self, request: HttpRequest) -> None:
        if not request.user.is_authenticated:
            return
        session = request.session
        if time.time() - session.get(sessions.SEEN, 0.0) < sessions.SEEN_EVERY_S:
            if sessions.over(session):  # the absolute limit
                _end(request)
        else:
            _look_again(request)


def begin(request: HttpRequest) -> None:
    """A new session: nothing of what was known about an earlier one counts."""
    for name in (sessions.BEGAN, sessions.SEEN, sessions.IDLE):
        request.session.pop(name, None)
    _note(request)


def _look_again(request: HttpRequest) -> None:
    profile = profile_of(_person(request))
    if sessions.SEEN in request.session:
        request.session[sessions.IDLE] = sessions.IDLE_S[profile]
    if sessions.over(request.session):
        _end(request)
        return
    _note(request)
    with person_scope(_person(request).pk):
        _here(request).update(last_seen_at=timezone.now())


def _note(request: HttpRequest) -> None:
    person = _person(request)
    sessions.seen(request.session, profile_of(person))
    if overdue(person):
        request.session[NEW_PASSWORD] = person.pk


def _end(request: HttpRequest) -> None:
    with transaction.atomic():
        session_acts.record(
            Action.SESSION_END, request, _person(request), success=True, detail={"why": "limit"}
        )
        with person_scope(_person(request).pk):
            _here(request).delete()
        request.session.flush()
    request.user = AnonymousUser()


def _here(request: HttpRequest) -> "QuerySet[UserSession]":
    found: QuerySet[UserSession] = UserSession.objects.filter(
        session_key=request.session.session_key
    )
    return found


def _person(request: HttpRequest) -> User:
    return cast("User", request.user)
