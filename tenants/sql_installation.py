"""Installs after every `migrate` what Django's migrations cannot express.

These are the functions in the `sql/` folders of all apps, row security and partitions. They
describe the final state, not changes: running them again does no harm.
"""

from pathlib import Path
from typing import Any

from django.apps import apps
from django.conf import settings
from django.core.management import CommandError
from django.db import connection, transaction

from audit.trail import database_owner, partitions
from infrastructure.postgres import schema_release
from tenants.isolation import row_security

APPS = ("audit", "tenants", "inference")
_BLOCK = 64  # bytes, of SHA-256
_WRITE_SCOPE_KEY = """
    insert into tenants_scopekey (id, inner_pad, outer_pad) values (1, %(inner)s, %(outer)s)
    on conflict (id) do update set inner_pad = %(inner)s, outer_pad = %(outer)s
    where (tenants_scopekey.inner_pad, tenants_scopekey.outer_pad) <> (%(inner)s, %(outer)s)"""


def refuse_if_impossible(*, app_config: Any, plan: list[Any], **_signal: Any) -> None:
    """Receives pre_migrate, once per app, and acts on the first of our apps.

    It refuses a migration that waited for another one: its plan would repeat the work.
    """
    if app_config.label != APPS[0]:
        return
    if plan and not database_owner.may_change():
        raise CommandError(
            f"the tables belong to {database_owner.OWNER}: run `manage.py migrate` as the "
            "administrator of the database (docs/deployment-database.md)"
        )
    if not schema_release.lock(waits=not plan):
        raise CommandError(schema_release.ANOTHER_RUNS)
    release = schema_release.read()
    if release and release.is_newer and (problem := release.mismatch):
        raise CommandError(problem)


def install(*, app_config: Any, using: str, **signal: Any) -> None:
    """Receives post_migrate, once per app, and acts after the last of our apps.

    It does nothing after a flush, which changes no table, after a migration to a state in the
    middle, or if a later version has migrated, whose functions must not be replaced by older ones.
    """
    if app_config.label != APPS[-1] or "plan" not in signal:
        return
    try:
        if not schema_release.unapplied() and not schema_release.is_newer():
            with transaction.atomic(using):
                _install()
    finally:
        schema_release.unlock()


def _install() -> None:
    if database_owner.may_change():
        with connection.cursor() as cursor:
            for path in functions():
                cursor.execute(path.read_text())
        _write_scope_key()
        row_security.enforce()
        schema_release.write()
    partitions.make()
    if settings.APPLICATION_ROLE:
        hand_over(settings.APPLICATION_ROLE, settings.REQUESTS_ROLE)


def _write_scope_key() -> None:
    """Writes the key that proves that the platform opened a scope (sql/0_scope.sql)."""
    key: bytes = settings.SCOPE_KEY.ljust(_BLOCK, b"\0")
    pads = {"inner": bytes(b ^ 0x36 for b in key), "outer": bytes(b ^ 0x5C for b in key)}
    with connection.cursor() as cursor:
        cursor.execute(_WRITE_SCOPE_KEY, pads)


def hand_over(role: str, for_requests: str) -> None:
    """Hands the tables over, as a superuser, and renews the policies, which name the new roles.

    Raises CannotProtect.
    """
    with transaction.atomic():
        database_owner.enforce(role, for_requests)
        row_security.enforce()


def functions() -> list[Path]:
    """Returns the files of `create or replace function ...` in the order in which they run."""
    folders = [Path(apps.get_app_config(app).path) / "sql" for app in APPS]
    return [path for folder in folders for path in sorted(folder.glob("*.sql"))]
