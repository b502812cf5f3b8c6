"""Which rows PostgreSQL shows to this connection, until the end of a transaction.

Every policy (tenants/isolation/row_security.py) reads settings; where
nothing is set there is nothing to see. `tenants/scope.py` gives the combinations their names.

A statement can set them too, so none is believed for that. The web process has two connections:
requests run on one whose role opens no scope of the system. The other is reached here alone, and
never from inside the scope of a tenant or a person. And for whom a scope is open, `forebay.proof`
proves with a key that is no setting (tenants/sql/0_scope.sql).
"""

import hmac
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from django.conf import settings
from django.db import connection, connections, transaction

SYSTEM = "system"  # the alias; absent where the default connection is the system's itself
_SETTINGS = ("forebay.tenant", "forebay.user", "forebay.proof", "forebay.system")
_BEFORE = ", ".join(f"current_setting('{name}', true)" for name in _SETTINGS)
_SET = ", ".join(f"set_config('{name}', %s, true)" for name in _SETTINGS)
_OPEN = f"with before as materialized (select {_BEFORE}) select before.*, {_SET} from before"

_narrow: ContextVar[bool] = ContextVar("narrow", default=False)


class OutOfReach(RuntimeError):
    """The work of a tenant's request asked for every tenant's rows."""


@contextmanager
def scope(*, tenant: str = "", user: str = "", system: bool = False) -> Iterator[None]:
    """One transaction, or a part of the one that is open already.

    Raises OutOfReach for the system's inside that of a tenant or a person.
    """
    with _reached(system):
        part = connection.in_atomic_block
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(_OPEN, _settings(tenant, user, system=system))
            before = [value or "" for value in cursor.fetchone()[: len(_SETTINGS)]]
            with _marked(narrow=not system):
                yield
            if part:  # else the settings end with the transaction, as they do in an exception
                cursor.execute(f"select {_SET}", before)


@contextmanager
def system_connection() -> Iterator[None]:
    """The system's, with every row in sight, and no transaction: each statement stands for itself.

    Raises OutOfReach as `scope` does.
    """
    with _reached(system=True):
        yield


def _settings(tenant: str, user: str, *, system: bool) -> list[str]:
    said = f"{tenant}|{user}".encode()
    proof = "" if system else hmac.digest(settings.SCOPE_KEY, said, "sha256").hex()
    return [tenant, user, proof, "on" if system else ""]


def is_narrow() -> bool:
    """Whether the scope of a tenant or a person is open."""
    return _narrow.get()


@contextmanager
def _marked(*, narrow: bool) -> Iterator[None]:
    token = _narrow.set(narrow)
    try:
        yield
    finally:
        _narrow.reset(token)


@contextmanager
def _reached(system: bool) -> Iterator[None]:
    """For the system: on its connection, which stands in for the default one meanwhile."""
    if not system:
        yield
        return
    if is_narrow():
        raise OutOfReach("the system's scope does not open inside that of a tenant or a person")
    usual = connections["default"]
    if SYSTEM not in connections.settings or usual.alias == SYSTEM:
        yield
        return
    if usual.in_atomic_block:
        raise OutOfReach("a transaction is open on the connection of requests")
    connections["default"] = connections[SYSTEM]
    try:
        yield
    finally:
        connections["default"] = usual
