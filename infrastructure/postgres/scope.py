"""Row-level security settings that decide which rows PostgreSQL shows, until a transaction's end.

Every policy (tenants/isolation/row_security.py) reads these settings; without them no rows are
visible. `tenants/scope.py` names the combinations.

An SQL statement can set them too, so the settings alone prove nothing. The web process has two
connections: requests run on one whose role cannot open the system's scope, and only this module
reaches the other, never from inside the scope of a tenant or a person. `forebay.proof` proves that
the platform opened a scope, with a key that is no setting (tenants/sql/0_scope.sql).
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
    """Code inside a tenant's request tried to open the scope that sees every tenant's rows."""


@contextmanager
def scope(*, tenant: str = "", user: str = "", system: bool = False) -> Iterator[None]:
    """Opens a transaction, or a part of the open one, with these settings.

    Raises OutOfReach if the system's scope is wanted inside that of a tenant or a person.
    """
    with _connected_as(system):
        nested = connection.in_atomic_block
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(_OPEN, _settings(tenant, user, system=system))
            before = [value or "" for value in cursor.fetchone()[: len(_SETTINGS)]]
            token = _narrow.set(not system)
            try:
                yield
            finally:
                _narrow.reset(token)
            if nested:  # else the settings end with the transaction, as they do in an exception
                cursor.execute(f"select {_SET}", before)


@contextmanager
def system_connection() -> Iterator[None]:
    """Uses the system's connection, which sees every row, without a transaction: each statement
    commits.

    Raises OutOfReach as `scope` does.
    """
    with _connected_as(system=True):
        yield


def _settings(tenant: str, user: str, *, system: bool) -> list[str]:
    message = f"{tenant}|{user}".encode()
    proof = "" if system else hmac.digest(settings.SCOPE_KEY, message, "sha256").hex()
    return [tenant, user, proof, "on" if system else ""]


def is_narrow() -> bool:
    """Returns True if the scope of a tenant or a person is open."""
    return _narrow.get()


@contextmanager
def _connected_as(system: bool) -> Iterator[None]:
    """Puts the system's connection in the default one's place; does nothing unless `system`."""
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
