"""The start of a process that takes requests: what keeps it from starting, and how it settles."""

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
    """Of a process that serves requests."""
    return (
        check.startup_problem()
        or release_problem()
        or key_check.startup_problem()
        or erasure_problem_at_start()
    )


def release_problem() -> str:
    """Why this version must not run on the tables of the database, in one line; "" when it may."""
    try:
        return schema_release.mismatch()
    except OperationalError as problem:
        return f"the database does not answer: {problem}".splitlines()[0]
    finally:
        connections.close_all()


def follow_engines() -> str:
    """Puts models, pools and engines in force, now and whenever they change.

    Why the process cannot start, in one line; "" when it can.
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
    """At the end of a server in a process that goes on."""
    while following:
        following.pop().stop()


def settle_down() -> None:
    """What is loaded stays: no full garbage collection has to walk over it while requests wait."""
    gc.collect()
    gc.freeze()
