"""The platform's processes do not own the tables that they write to, from the first start on."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest

from config.environment import PROJECT
from tests.supervisor.running import Running

pytestmark = pytest.mark.e2e
_OWNERS = """
    select array_agg(distinct relowner::regrole::text) from pg_class
    where relnamespace = 'public'::regnamespace and relkind in ('r', 'p', 'S')"""
_AS_BEFORE = """
    do $$ declare one text; begin
        execute 'alter database forebay owner to forebay';
        for one in select oid::regclass from pg_class
                   where relnamespace = 'public'::regnamespace and relkind in ('r', 'p') loop
            execute format('alter table %s owner to forebay', one);
            execute format('revoke all on %s from forebay', one);
            execute format('grant all on %s to forebay', one);
        end loop;
        for one in select oid::regprocedure from pg_proc
                   where pronamespace = 'public'::regnamespace loop
            execute format('alter routine %s owner to forebay', one);
        end loop;
    end $$"""


def owners(platform: Running) -> list[str]:
    with psycopg.connect(platform.told["DATABASE_URL"]) as connection:
        found: list[str] = connection.execute(_OWNERS).fetchone()[0]  # type: ignore[index]
    return found


def as_superuser(platform: Running, statement: str) -> None:
    secret = (platform.home / "secrets" / "postgres.password").read_text().strip()
    there = psycopg.connect(platform.told["DATABASE_URL"], user="postgres", password=secret)
    with there as connection:
        connection.execute(statement)


def manage(platform: Running, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "manage.py", *arguments],
        cwd=PROJECT,
        env={**os.environ, "FOREBAY_HOME": str(platform.home), **platform.told},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_tables_are_handed_over_at_each_start(start: Callable[..., Running], home: Path) -> None:
    platform = start().ready()
    assert owners(platform) == ["forebay_owner"]
    found = manage(platform, "audit_check")
    assert found.returncode == 0, found.stderr + found.stdout
    assert found.stdout.startswith("as it should be")
    with (
        psycopg.connect(platform.told["DATABASE_URL"]) as connection,
        pytest.raises(psycopg.errors.InsufficientPrivilege),
    ):
        connection.execute("delete from audit_event")

    # By hand there is nothing to migrate, and it says nothing.
    assert manage(platform, "migrate").returncode == 0
    as_superuser(platform, "delete from django_migrations where app = 'inference'")
    refused = manage(platform, "migrate")
    assert refused.returncode == 1
    assert "the tables belong to forebay_owner" in refused.stderr

    # One that an earlier version has made: the application owned everything.
    as_superuser(platform, _AS_BEFORE)
    manage(platform, "migrate", "inference", "--fake")
    platform.end()
    again = start().ready()
    assert owners(again) == ["forebay_owner"]
    assert manage(again, "audit_check").returncode == 0
