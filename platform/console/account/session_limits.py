"""A session ends when its person has been away for too long, and after twelve hours anyway.

The person's profile says how long is too long. Presence is stored once a minute at most; then the
profile and the age of the password are checked too. A page that refreshes itself says so
(UNATTENDED): nobody need be in front of it, and its requests are no presence.
"""

import time

from allauth.usersessions.models import UserSession
from django.contrib.auth.models import AnonymousUser
from django.contrib.sessions.backends.base import SessionBase
from django.db import transaction
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

UNATTENDED = "X-Unattended"  # a header of static/console's own requests, without anybody's act


class SessionLimits(MiddlewareMixin):
    """Middleware; comes after AuthenticationMiddleware."""

    def process_request(self, request: HttpRequest) -> None:
        person, session = request.user, request.session
        if not isinstance(person, User):
            return
        since = time.time() - session.get(sessions.SEEN, 0.0)  # below 0: the clock went back
        if abs(since) < sessions.SEEN_EVERY_S:
            if sessions.over(session):  # the absolute limit
                _end(request, person)
        else:
            _recheck(request, person)


def begin(request: HttpRequest, person: User) -> None:
    """Start the limits of a new session: nothing known about an earlier one counts."""
    for name in (sessions.BEGAN, sessions.SEEN, sessions.IDLE):
        request.session.pop(name, None)
    _note_presence(request.session, person)


def _recheck(request: HttpRequest, person: User) -> None:
    session = request.session
    if sessions.SEEN in session:
        _keep_idle_limit(session, person)
    if sessions.over(session):
        _end(request, person)
        return
    if UNATTENDED in request.headers:
        return
    _note_presence(session, person)
    with person_scope(person.pk):
        own = UserSession.objects.filter(session_key=session.session_key)
        own.update(last_seen_at=timezone.now())


def _keep_idle_limit(session: SessionBase, person: User) -> None:
    """Take over the limit of the person's present profile, without a write where it is the same."""
    idle_s = sessions.IDLE_S[person.profile()]
    if session.get(sessions.IDLE) != idle_s:
        session[sessions.IDLE] = idle_s


def _note_presence(session: SessionBase, person: User) -> None:
    sessions.seen(session, person.profile())
    if overdue(person):
        session[NEW_PASSWORD] = person.pk


def _end(request: HttpRequest, person: User) -> None:
    with transaction.atomic():
        session_records.record(Action.SESSION_END, request, person, {"why": "limit"})
        with person_scope(person.pk):
            UserSession.objects.filter(session_key=request.session.session_key).delete()
        request.session.flush()
    request.user = AnonymousUser()
