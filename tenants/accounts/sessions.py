"""Sessions in PostgreSQL (SESSION_ENGINE): their duration, and their end.

A request sees only the session whose key it presents (isolation/row_security.py). A key is as good
as a password: with all keys, an SQL injection could act as every person.

A session stores its beginning and its last use (Unix seconds), and how long it may be idle under
the person's profile.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from allauth.usersessions.models import UserSession
from django.contrib.sessions.backends import db
from django.contrib.sessions.backends.base import SessionBase
from django.db import connection, transaction

from tenants.models.user import User
from tenants.roles import Profile
from tenants.scope import person_scope

IDLE_S = {Profile.MLPS: 30 * 60, Profile.ASVS: 8 * 3600}
ABSOLUTE_S = 12 * 3600
SEEN_EVERY_S = 60  # the shortest time between two updates of the last use
NOWHERE = "0.0.0.0"  # noqa: S104 the column has no null
BEGAN, SEEN, IDLE = "began_at", "seen_at", "idle_s"


class SessionStore(db.SessionStore):
    def load(self) -> Any:
        with _with_key(self.session_key):
            return super().load()

    def exists(self, session_key: str) -> bool:
        with _with_key(session_key):
            return bool(super().exists(session_key))

    def save(self, must_create: bool = False) -> None:
        if self.session_key is None:
            return self.create()
        with _with_key(self.session_key):
            return super().save(must_create)

    def delete(self, session_key: str | None = None) -> None:
        with _with_key(session_key or self.session_key):
            super().delete(session_key)


@contextmanager
def _with_key(key: str | None) -> Iterator[None]:
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("select set_config('forebay.session', %s, true)", [key or ""])
        yield


def over(session: SessionBase) -> bool:
    """Returns True if the session is idle for too long, or too old; False if it was never used.

    One that begins far in the future is over: the clock was wrong then, and it would never age.
    """
    now = time.time()
    if abs(now - session.get(BEGAN, now)) >= ABSOLUTE_S:
        return True
    return bool(now - session.get(SEEN, now) >= session.get(IDLE, IDLE_S[Profile.ASVS]))


def seen(session: SessionBase, profile: Profile) -> None:
    now = time.time()
    session.setdefault(BEGAN, now)
    session[SEEN], session[IDLE] = now, IDLE_S[profile]


def forget_places(user: User) -> None:
    """Erases the addresses and devices of a person's sessions, which stay open."""
    with person_scope(user.pk):
        UserSession.objects.filter(user_id=user.pk).update(ip=NOWHERE, user_agent="", data={})


def end_sessions(user: User, keep: str | None = None) -> int:
    """Ends every session of the person except the one with the key `keep`. Returns how many."""
    store = SessionStore()
    with person_scope(user.pk):
        rows = list(UserSession.objects.filter(user_id=user.pk).exclude(session_key=keep or ""))
        for row in rows:
            store.delete(row.session_key)
            row.delete()
    return len(rows)
