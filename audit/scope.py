"""Which rows PostgreSQL shows to this connection, until the end of a transaction.

Every policy (tenants/row_security.py) reads three settings; where nothing is set there is nothing
to see. `tenants/scope.py` gives the combinations their names.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from django.db import connection, transaction

_SETTINGS = ("forebay.tenant", "forebay.user", "forebay.system")
_BEFORE = ", ".join(f"current_setting('{name}', true)" for name in _SETTINGS)
_SET = ", ".join(f"set_config('{name}', %s, true)" for name in _SETTINGS)
_OPEN = f"with before as materialized (select {_BEFORE}) select before.*, {_SET} from before"


@contextmanager
def scope(*, tenant: str = "", user: str = "", system: bool = False) -> Iterator[None]:
    """One transaction, or a part of the one that is open already."""
    part = connection.in_atomic_block
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(_OPEN, [tenant, user, "on" if system else ""])
        before = [value or "" for value in cursor.fetchone()[:3]]
        yield
        if part:  # else the settings end with the transaction, as they do in an exception
            cursor.execute(f"select {_SET}", before)
