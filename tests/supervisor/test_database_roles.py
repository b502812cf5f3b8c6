"""The platform's processes do not own the tables that they write to. Of the very first start:
test_start_and_stop.py.
"""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg
import pytest

from config.environment import PROJECT
from tests import prepared
from tests.supervisor.running import Running, owners

pytestmark = pytest.mark.e2e
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

_RENAMED = "update django_migrations set app = '{1}' where app = '{0}'"  # as if it had none


# What a web process is, without its server: nothing open, and two connections.
_AS_THE_WEB = """
import json, django
django.setup()
from django.db import DatabaseError, connection, transaction
from django.test import Client
from infrastructure.postgres.scope import OutOfReach
from tenants.models import Tenant, User
from tenants.roles import Role
from tenants.scope import system_scope, tenant_scope

def injected(*statements):
    try:
        with transaction.atomic(), connection.cursor() as cursor:
            for one in statements:
                cursor.execute(one)
            return [one.name for one in Tenant.objects.all()]
    except DatabaseError as problem:
        return str(problem).splitlines()[0]

def within():
    try:
        with system_scope():
            return "it opened"
    except OutOfReach:
        return "out of reach"

found = {"before": list(Tenant.objects.all())}
with system_scope():
    acme = Tenant.open("acme", by="test")
    Tenant.open("globex", by="test")
    password = "at the end of the pier"
    alice = User.objects.create_user("alice@acme.example", password)
    acme.add_member(alice, Role.MEMBER, by="test")
    found["system"] = Tenant.objects.filter(name__in=["acme", "globex"]).count()
on = "select set_config('forebay.system', 'on', true)"
with tenant_scope(acme.id):
    found["role"] = connection.settings_dict["USER"]
    found["nested"] = within()
    found["on"] = injected(on)
    found["as"] = [injected(f"set role {one}", on) for one in ("forebay", "forebay_system")]
    found["session"] = injected("set session authorization forebay", on)
    found["key"] = injected("select * from tenants_scopekey")
found["after"] = list(Tenant.objects.all())
with transaction.atomic():
    found["in a transaction"] = within()

def asked(client, path, **form):
    answer = client.post(path, form, headers={"host": "localhost"}) if form else client.get(
        path, headers={"host": "localhost"})
    return answer.status_code, answer.headers.get("location", "")

here, there, both = Client(), Client(), {"password1": password * 2, "password2": password * 2}
credentials = {"login": "alice@acme.example", "password": password}
found["account"] = [
    asked(here, "/login/", **credentials),
    asked(there, "/login/", **credentials),
    asked(here, "/account/password/", oldpassword=password, **both),
    asked(here, "/account/"),
    asked(there, "/account/"),
]
print(json.dumps(found))
"""


def as_superuser(platform: Running, statement: str) -> None:
    """The running platform may want the same tables: PostgreSQL then ends one of the two."""
    secret = (platform.home / "secrets" / "postgres.password").read_text().strip()
    for left in reversed(range(5)):
        there = psycopg.connect(platform.told["DATABASE_URL"], user="postgres", password=secret)
        try:
            with there as connection:
                connection.execute(statement)
            return
        except psycopg.errors.DeadlockDetected:
            if not left:
                raise


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


def protected_at_once(platform: Running, times: int) -> list[str]:
    """Returns the last line of each `audit_protect`; they run at once, beside the platform."""
    secret = (platform.home / "secrets" / "postgres.password").read_text().strip()
    where = urlsplit(platform.told["DATABASE_URL"])
    place = where.netloc.rpartition("@")[2]
    superuser = where._replace(netloc=f"postgres:{secret}@{place}").geturl()
    command = [sys.executable, "manage.py", "audit_protect", "--requests-role", "forebay_requests"]
    told = {"FOREBAY_HOME": str(platform.home), **platform.told, "DATABASE_URL": superuser}
    running = [
        subprocess.Popen(
            command,
            cwd=PROJECT,
            env={**os.environ, **told},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for _ in range(times)
    ]
    return [each.communicate(timeout=60)[0].splitlines()[-1] for each in running]


def others_statements(platform: Running) -> list[str]:
    """Returns other requests' statements that a request sees over connections of the same role."""
    url = platform.told["FOREBAY_REQUESTS_DATABASE_URL"]
    with psycopg.connect(url, cursor_factory=psycopg.ClientCursor) as other:
        other.execute("select set_config('forebay.proof', %s, true)", ["of another tenant"])
        with psycopg.connect(url) as connection:
            rows = connection.execute(
                "select query from pg_stat_activity where usename = current_user"
                " and pid <> pg_backend_pid()"
            ).fetchall()
    return [text for (text,) in rows if text]


def as_the_web(platform: Running) -> dict[str, Any]:
    settings = {"DJANGO_SETTINGS_MODULE": "config.settings", "FOREBAY_DATABASE_SCOPE": "none"}
    answer = subprocess.run(
        [sys.executable, "-c", _AS_THE_WEB],
        cwd=PROJECT,
        env={**os.environ, "FOREBAY_HOME": str(platform.home), **platform.told, **settings},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert answer.returncode == 0, answer.stderr
    found: dict[str, Any] = json.loads(answer.stdout)
    return found


@pytest.mark.soak
@pytest.mark.timeout(900)
@pytest.mark.slow(seconds=45)
def test_tables_are_handed_over_at_each_start(start: Callable[..., Running], home: Path) -> None:
    prepared.home(home)
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

    assert as_the_web(platform) == {
        "before": [],
        "system": 2,
        "role": "forebay_requests",
        "nested": "out of reach",
        "on": ["acme"],
        "as": [f'permission denied to set role "{one}"' for one in ("forebay", "forebay_system")],
        "session": 'permission denied to set session authorization "forebay"',
        "key": "permission denied for table tenants_scopekey",
        "after": [],
        "in a transaction": "out of reach",
        "account": [
            [302, "/"],
            [302, "/"],
            [302, "/account/"],
            [200, ""],
            [302, "/login/?next=/account/"],  # a new password ends the other session
        ],
    }

    handed_over = "forebay_owner owns the tables; forebay reads and writes rows"
    assert protected_at_once(platform, 2) == [handed_over] * 2
    assert others_statements(platform) == []
    with (
        psycopg.connect(platform.told["FOREBAY_REQUESTS_DATABASE_URL"]) as connection,
        pytest.raises(psycopg.errors.InsufficientPrivilege),
    ):
        connection.execute("create temporary table tenants_member (id int)")

    # By hand there is nothing to migrate, and it says nothing.
    assert manage(platform, "migrate").returncode == 0
    as_superuser(platform, _RENAMED.format("inference", "unknown"))
    refused = manage(platform, "migrate")
    as_superuser(platform, _RENAMED.format("unknown", "inference"))
    assert refused.returncode == 1
    assert "the tables belong to forebay_owner" in refused.stderr

    # One that an earlier version has made: the application owned everything.
    as_superuser(platform, _AS_BEFORE)
    platform.end()
    again = start()
    again.line("tables ready")
    assert owners(again) == ["forebay_owner"]
    assert manage(again, "audit_check").returncode == 0
