"""Empties the tables after a test that commits, as Django's `flush` does, in a tenth of its time.

`flush` truncates every table, which PostgreSQL pays for in files, and makes all permissions and
content types anew. Here rows are deleted where there are any. The locks are the same: a
transaction that a test leaves open still shows.
"""

from typing import Any

import psycopg
from django.core.management import call_command
from django.db import connection
from psycopg import sql

# Rows that follow from the models: `flush` makes them anew, here they stay.
_STAY = ("auth_permission", "django_content_type")
_LARGEST = 4 * 1024 * 1024  # bytes of a table, dead rows included: then `flush` gives them back
_PREPARE = """
    set session_replication_role = replica;
    set lock_timeout = '60s';
    create function pg_temp.empty() returns void language plpgsql as {body}"""
_DELETE = "if exists (select from {0}) then delete from {0}; end if;"
_STATE = """
    select (select sum(hashtextextended(t::text, 0)) from auth_permission t),
           (select sum(hashtextextended(t::text, 0)) from django_content_type t),
           (select max(pg_table_size(oid)) from pg_class
            where relkind = 'r' and relnamespace = current_schema()::regnamespace)"""


class Emptying:
    """By a superuser's connection, past triggers and policies."""

    def __init__(self, dsn: str) -> None:
        names = connection.introspection.django_table_names(only_existing=True, include_views=False)
        tables = [sql.Identifier(name) for name in sorted(names)]
        gone = [sql.Identifier(name) for name in sorted(set(names) - set(_STAY))]
        deletes = sql.SQL(" ").join(sql.SQL(_DELETE).format(table) for table in gone)
        body = sql.SQL("begin {} {} end").format(
            sql.SQL("lock table {} in access exclusive mode;").format(sql.SQL(", ").join(tables)),
            deletes,
        )
        self._prepare = sql.SQL(_PREPARE).format(body=sql.Literal(body.as_string()))
        self._dsn = dsn
        self._superuser = self._connected()
        self._stay = self._state()[:2]

    def __call__(self) -> None:
        try:
            self._superuser.execute("select pg_temp.empty()")
        except psycopg.OperationalError:  # a test has ended every backend, or a poll was in the way
            self._superuser.close()
            self._superuser = self._connected()
            self._superuser.execute("select pg_temp.empty()")
        *stay, largest = self._state()
        if stay != self._stay or largest > _LARGEST:
            call_command("flush", verbosity=0, interactive=False)
            self._stay = self._state()[:2]

    def close(self) -> None:
        self._superuser.close()

    def _connected(self) -> psycopg.Connection:
        made = psycopg.connect(self._dsn, autocommit=True)
        made.execute(self._prepare)
        return made

    def _state(self) -> list[Any]:
        return list(self._superuser.execute(_STATE).fetchone() or ())
