"""Row security, looked at before anybody relies on it: by the web process as it starts, and by
`manage.py check --database default --fail-level WARNING`.
"""

import time
from collections.abc import Sequence
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Warning
from django.db import OperationalError, connection

from tenants import row_security
from tenants.schema import unapplied

REMEDY = "run `manage.py migrate`: it puts tables, policies and keys in their place"
PATIENCE_S = 10.0


def isolation(*, databases: Sequence[str] | None = None, **kwargs: Any) -> list[CheckMessage]:
    """Warnings, not errors: `migrate`, which mends it all, looks at the checks before it runs.
    A superuser who runs it sees through every policy, and need not be told so.
    """
    if not databases or settings.APPLICATION_ROLE or unapplied():
        return []
    return [Warning(problem, hint=REMEDY, id="tenants.W001") for problem in row_security.check()]


def hindrance() -> str:
    """Why no process may serve tenants from this database, in one line; "" when it may."""
    try:
        problems = ["migrations are missing"] if _patiently_unapplied() else row_security.check()
        if settings.DATABASE_SCOPE != "system" and _sees_all_by_itself():
            problems.append("forebay.system is on in the settings of the role or the database")
    except OperationalError as problem:
        return f"the database does not answer: {problem}".splitlines()[0]
    finally:
        connection.close()
    shown = [*problems[:3], *([f"and {len(problems) - 3} more"] if len(problems) > 3 else [])]
    return f"tenants are not kept apart ({'; '.join(shown)}): {REMEDY}" if problems else ""


def _patiently_unapplied() -> bool:
    end = time.monotonic() + PATIENCE_S
    while True:
        try:
            return unapplied()
        except OperationalError:
            if time.monotonic() > end:
                raise
            connection.close()
            time.sleep(0.5)


def _sees_all_by_itself() -> bool:
    with connection.cursor() as cursor:
        cursor.execute("select coalesce(current_setting('forebay.system', true), '') = 'on'")
        return bool(cursor.fetchone()[0])
