"""The start of a process that takes requests: its checks, and its last steps."""

import gc

import psycopg
from django.conf import settings
from django.db import OperationalError, connections

from audit.erasure.tombstones import erasure_problem_at_start
from audit.keys import key_check
from inference.registry.following import Following
from inference.registry.importing import import_file
from infrastructure.postgres import schema_release
from tenants.isolation import check

following: list[Following] = []


def startup_problem() -> str:
    """Returns why a process that serves requests cannot start, in one line; "" if it can."""
    return (
        check.startup_problem()
        or release_problem()
        or key_check.startup_problem()
        or erasure_problem_at_start(writes_here=False)
    )


def release_problem() -> str:
    """Returns why this version must not run on the database's tables, in one line; "" if it may."""
    try:
        return schema_release.mismatch()
    except OperationalError as problem:
        return f"the database does not answer: {problem}".splitlines()[0]
    finally:
        connections.close_all()


def follow_engines() -> str:
    """Put models, pools and engines in force, now and whenever they change.

    Returns why the process cannot start, in one line; "" if it can.
    """
    try:
        import_file()
        following.append(Following(settings.DATABASE_URL))
        following[-1].start()
    except ValueError as problem:
        return f"FOREBAY_ENGINES: {problem}"
    except (OperationalError, psycopg.OperationalError) as problem:
        return f"the database does not answer: {problem}".splitlines()[0]
    finally:
        connections.close_all()
    return ""


def unfollow_engines() -> None:
    """Stop following, at the end of a server in a process that goes on."""
    while following:
        following.pop().stop()


def freeze_loaded_objects() -> None:
    """Freeze the loaded objects: no full garbage collection walks over them while requests wait."""
    gc.collect()
    gc.freeze()
