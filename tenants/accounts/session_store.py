"""Sessions in PostgreSQL. A request sees only the session whose key it presents (row_security.py).

A key is as good as a password: with all keys, an SQL injection could act as every person.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.contrib.sessions.backends import db
from django.db import connection, transaction


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
