"""A session ends when its person has been away for too long, and after twelve hours anyway.

The person's profile says how long is too long. Presence is stored once a minute at most; then the
profile and the age of the password are checked too.
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
from console.account import session_records
from console.account.password_policy import overdue
from tenants.accounts import sessions
from tenants.accounts.required_actions import NEW_PASSWORD
from tenants.models import User
from tenants.scope import person_scope


class SessionLimits(MiddlewareMixin):
    """Middleware; comes after AuthenticationMiddleware."""

    def process_request(self, request: HttpRequest) -> None:
        if not request.user.is_authenticated:
            return
        session = request.session
        if time.time() - session.get(sessions.SEEN, 0.0) < sessions.SEEN_EVERY_S:
            if sessions.over(session):  # the absolute limit
                _end(request)
        else:
            _recheck(request)


def begin(request: HttpRequest) -> None:
    """Start the limits of a new session: nothing known about an earlier one counts."""
    for name in (sessions.BEGAN, sessions.SEEN, sessions.IDLE):
        request.session.pop(name, None)
    _note_presence(request)


def _recheck(request: HttpRequest) -> None:
    profile = _person(request).profile()
    if sessions.SEEN in request.session:
        request.session[sessions.IDLE] = sessions.IDLE_S[profile]
    if sessions.over(request.session):
        _end(request)
        return
    _note_presence(request)
    with person_scope(_person(request).pk):
        _session_row(request).update(last_seen_at=timezone.now())


def _note_presence(request: HttpRequest) -> None:
    person = _person(request)
    sessions.seen(request.session, person.profile())
    if overdue(person):
        request.session[NEW_PASSWORD] = person.pk


def _end(request: HttpRequest) -> None:
    with transaction.atomic():
        person = _person(request)
        session_records.record(Action.SESSION_END, request, person, {"why": "limit"})
        with person_scope(person.pk):
            _session_row(request).delete()
        request.session.flush()
    request.user = AnonymousUser()


def _session_row(request: HttpRequest) -> "QuerySet[UserSession]":
    rows: QuerySet[UserSession] = UserSession.objects.filter(
        session_key=request.session.session_key
    )
    return rows


def _person(request: HttpRequest) -> User:
    return cast("User", request.user)
