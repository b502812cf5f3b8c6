"""Checks row security when the web process starts.

`manage.py check --database default --fail-level WARNING` runs the same check.
"""

import logging
import time
from collections.abc import Sequence
from typing import Any
from uuid import uuid4

import environ
from django.conf import settings
from django.core.checks import CheckMessage, Warning
from django.db import OperationalError, ProgrammingError, connection, connections

from audit.trail.database_owner import SYSTEM
from infrastructure.postgres.schema_release import unapplied
from tenants.isolation import row_security
from tenants.isolation.catalogue import Catalogue
from tenants.scope import tenant_scope

REMEDY = "run `forebay migrate` of this version: it puts tables, policies and keys in their place"
PATIENCE_S = 10.0
_ROLE = """
    select pg_has_role(role.oid, system.oid, 'MEMBER'), exists (
        select from pg_db_role_setting
        where setrole = role.oid and 'track_activities=off' = any(setconfig))
    from pg_roles role, pg_roles system
    where role.rolname = %(role)s and system.rolname = %(system)s"""
_OPENS = (
    "which may open the scope of all tenants: give them a role of their own "
    "(FOREBAY_REQUESTS_DATABASE_URL, docs/deployment-database.md)"
)
_IS_SEEN = (
    "whose statements each of its connections can read in pg_stat_activity: run "
    "`manage.py audit_protect` again (docs/deployment-database.md)"
)
_MAY_NOT = (
    "which may not do what it must (run `manage.py audit_protect --requests-role`, "
    "docs/deployment-database.md)"
)
_OWNS = (
    "the application owns its tables: an SQL injection could take away what keeps tenants apart "
    "and the audit trail whole (`manage.py audit_protect`, docs/deployment-database.md)"
)

log = logging.getLogger(__name__)


def isolation(*, databases: Sequence[str] | None = None, **kwargs: Any) -> list[CheckMessage]:
    """Returns warnings, not errors, because `migrate` runs the checks before it repairs the faults.

    A superuser who migrates sees through every policy, and gets no warning about that.
    """
    if not databases or settings.APPLICATION_ROLE or unapplied():
        return []
    gaps = row_security.check()
    warnings: list[CheckMessage] = [Warning(gap, hint=REMEDY, id="tenants.W001") for gap in gaps]
    if shared := requests_problem():
        warnings.append(Warning(shared, id="tenants.W002"))
    return warnings


def startup_problem() -> str:
    """Returns one line on why no process may serve tenants from this database, or "" if it may."""
    try:
        problems = ["migrations are missing"] if _patiently_unapplied() else row_security.check()
        if sees_all_by_itself():
            problems.append("forebay.system is on in the settings of the role or the database")
        if not problems and not _is_scope_accepted():
            problems.append("the database does not know this platform's secret")
        if problem := requests_problem():
            if settings.REQUESTS_DATABASE_URL == settings.DATABASE_URL:
                log.warning("%s", problem)  # an installation from before there was such a role
            else:
                problems.append(problem)
        if not problems and not Catalogue.read().handed_over:
            log.warning("%s", _OWNS)
    except OperationalError as problem:
        return f"the database does not answer: {problem}".splitlines()[0]
    except ProgrammingError as problem:
        return f"requests connect as {_role()}, {_MAY_NOT}: {problem}".splitlines()[0]
    finally:
        connections.close_all()
    shown = [*problems[:3], *([f"and {len(problems) - 3} more"] if len(problems) > 3 else [])]
    return f"tenants are not kept apart ({'; '.join(shown)}): {REMEDY}" if problems else ""


def _is_scope_accepted() -> bool:
    """Returns True if the database accepts a scope that we open (sql/0_scope.sql)."""
    tenant_id = uuid4()
    with tenant_scope(tenant_id), connection.cursor() as cursor:
        cursor.execute("select tenants_scope_tenant()")
        return bool(cursor.fetchone()[0] == tenant_id)


def requests_problem() -> str:
    """Returns a problem if the role for requests may open the scope of all tenants, else "".

    The same applies if it can read the statements of other requests, which contain proofs of their
    scopes. A database that was not handed over is not checked: its application can change policies.
    """
    role = _role()
    with connection.cursor() as cursor:
        cursor.execute(_ROLE, {"role": role, "system": SYSTEM})
        member, unseen = cursor.fetchone() or (False, True)
    if (member or not unseen) and Catalogue.read().handed_over:
        return f"requests connect as {role}, {_OPENS if member else _IS_SEEN}"
    return ""


def _role() -> str:
    return str(environ.Env.db_url_config(settings.REQUESTS_DATABASE_URL)["USER"])


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


def sees_all_by_itself() -> bool:
    """Returns True if requests see every tenant before a scope is opened.

    It asks a new connection, because this check itself may run in the system's scope.
    """
    role, fresh = environ.Env.db_url_config(settings.REQUESTS_DATABASE_URL), connection.copy()
    fresh.settings_dict.update(USER=role["USER"], PASSWORD=role["PASSWORD"])
    fresh.settings_dict["OPTIONS"].pop("options", None)  # the system's scope is set there
    try:
        with fresh.cursor() as cursor:
            cursor.execute("select coalesce(current_setting('forebay.system', true), '') = 'on'")
            return bool(cursor.fetchone()[0])
    finally:
        fresh.close()
