"""Sessions in PostgreSQL, of which a request sees the one whose key it names (row_security.py).

A key is as good as a password: an injection that could read them would be everybody.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.contrib.sessions.backends import db
from django.db import connection, transaction


class SessionStore(db.SessionStore):
    def load(self) -> Any:
        with _known(self.session_key):
            return super().load()

    def exists(self, session_key: str) -> bool:
        with _known(session_key):
            return bool(super().exists(session_key))

    def save(self, must_create: bool = False) -> None:
        if self.session_key is None:
            return self.create()
        with _known(self.session_key):
            return super().save(must_create)

    def delete(self, session_key: str | None = None) -> None:
        with _known(session_key or self.session_key):
            super().delete(session_key)


@contextmanager
def _known(key: str | None) -> Iterator[None]:
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("select set_config('forebay.session', %s, true)", [key or ""])
        yield
