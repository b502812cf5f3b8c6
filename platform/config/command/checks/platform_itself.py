"""The checks that every process makes before it starts: tables, roles, row security, keys."""

import os
from collections.abc import Iterator

import django

from config import environment
from config.command.checks.finding import Finding, fail, ok, warn


def findings() -> Iterator[Finding]:
    """Yield findings. The configuration and the servers must have passed their checks."""
    if not environment.variable("DATABASE_URL"):
        yield ok("tables", "are made and changed at each start")
        return
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    os.environ.setdefault("FOREBAY_DATABASE_SCOPE", "none")
    django.setup(set_prefix=False)

    from infrastructure.postgres.schema_release import unapplied
    from tenants.isolation import check

    if unapplied():
        yield fail("tables", "migrations are missing: run `forebay migrate`")
        return
    yield ok("tables", "of this version")
    problem = check.startup_problem()
    yield fail("tenants", problem) if problem else ok("tenants", "are kept apart")
    yield _drift()


def _drift() -> Finding:
    """Compare the engines over the system's connection; the check's own sees no rows."""
    from django.db import DatabaseError

    from inference.registry.drift import differences

    try:
        waiting = [each for each in differences() if each.at_next_start]
    except (DatabaseError, ValueError) as problem:
        return warn("engines", f"cannot be compared with FOREBAY_ENGINES: {problem}".strip())
    if waiting:
        text = f"{len(waiting)} are other in FOREBAY_ENGINES, which the next start writes"
        return warn("engines", f"{text}: `forebay manage engines_drift` shows them")
    return ok("engines", "the database agrees with FOREBAY_ENGINES")
