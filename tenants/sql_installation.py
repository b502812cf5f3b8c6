"""Installs what Django's migrations cannot say, after every `migrate`: the functions in the `sql/`
folders of all apps, row security, partitions.

They are written as they should be, not as changes: running them again does no harm.
"""

from pathlib import Path
from typing import Any

from django.apps import apps
from django.conf import settings
from django.core.management import CommandError
from django.db import connection, transaction

from audit.trail import partitions, protection
from infrastructure.postgres import schema_release
from infrastructure.postgres.pending_migrations import unapplied
from tenants.isolation import row_security, scope_key

APPS = ("audit", "tenants", "inference")


def refuse_in_vain(*, app_config: Any, plan: list[Any], **_signal: Any) -> None:
    """Receives pre_migrate, once per app; acts before the first one of ours.

    The plan was made before: who waited for another migration would do its work again.
    """
    if app_config.label != APPS[0]:
        return
    if plan and not protection.may_change():
        raise CommandError(
            f"the tables belong to {protection.OWNER}: run `manage.py migrate` as the "
            "administrator of the database (docs/deployment-database.md)"
        )
    if not schema_release.hold(waits=not plan):
        raise CommandError(schema_release.ANOTHER_RUNS)
    standing = schema_release.found()
    if standing and standing.is_newer and (problem := standing.mismatch):
        raise CommandError(problem)


def put_in_place(*, app_config: Any, using: str, **signal: Any) -> None:
    """Receives post_migrate, once per app; acts when the last one of ours is through.

    Not after a flush, which changes no table, nor after a migration to somewhere in the middle, nor
    where a later version has migrated: older functions would be a step back for it.
    """
    if app_config.label != APPS[-1] or "plan" not in signal:
        return
    try:
        if not unapplied() and not schema_release.is_newer():
            with transaction.atomic(using):
                _put_in_place()
    finally:
        schema_release.let_go()


def _put_in_place() -> None:
    if protection.may_change():
        for path in functions():
            _run(path)
        scope_key.write()
        row_security.enforce()
        schema_release.write()
    partitions.make()
    if settings.APPLICATION_ROLE:
        hand_over(settings.APPLICATION_ROLE, settings.REQUESTS_ROLE)


def hand_over(role: str, for_requests: str) -> None:
    """As a superuser. The policies name roles that were not there before. Raises CannotProtect."""
    with transaction.atomic():
        protection.enforce(role, for_requests)
        row_security.enforce()


def functions() -> list[Path]:
    """The files of `create or replace function …`, in the order in which they run."""
    folders = [Path(apps.get_app_config(app).path) / "sql" for app in APPS]
    return [path for folder in folders for path in sorted(folder.glob("*.sql"))]


def _run(path: Path) -> None:
    with connection.cursor() as cursor:
        cursor.execute(path.read_text())
