"""Furnishes the home of a platform that runs: tenants with a key each, and requests of the past."""

import os
import subprocess
import sys
from pathlib import Path

import psycopg
from psycopg.conninfo import make_conninfo

from bench.figures import tell
from bench.servers.child import REPOSITORY
from bench.servers.forebay import Forebay
from bench.servers.without_platform import in_chunks

DAYS = 20
_TABLES = ("inference_completion", "inference_usage")
_INDEXES = """
    select indexname, indexdef from pg_indexes
    where tablename = any(%s) and indexname not in (
        select conname from pg_constraint where conrelid = any(%s::regclass[]))"""
# Ids are in the order of time (inference/request_id.py), ten each millisecond and so on.
_PAST = """
    create unlogged table past as select n, at,
        (lpad(to_hex((extract(epoch from at) * 1000)::bigint), 12, '0') || '70008'
         || lpad(to_hex(n), 15, '0'))::uuid as id
    from generate_series(%(first)s::bigint, %(last)s) n,
         lateral (select now() - make_interval(secs => (%(total)s - n) * %(seconds)s::float8
                                               / %(total)s) - interval '1 hour' as at) t"""
_COMPLETIONS = """
    insert into inference_completion
        (id, tenant_id, api_key_id, model, route, stream, state, created_at, settled_at, pool)
    select past.id, k.tenant_id, k.id, 'mock', '/v1/chat/completions', false, 'done', at,
           at + interval '1 second', 'mock'
    from past, (select * from tenants_apikey order by id limit 1) k order by n"""
# The number of a transaction before all others, and a mark of the roll-up behind it.
_USAGE = """
    insert into inference_usage
        (completion_id, tenant_id, api_key_id, model, pool, prompt_tokens, completion_tokens,
         cached_tokens, cost, status, finish_reason, error_code, attempts, queue_ms, ttft_ms,
         duration_ms, created_at, xid)
    select past.id, k.tenant_id, k.id, 'mock', 'mock', 60, 64, 0, 0, 200, 'stop', '', 1, 1, 5, 9,
           at, 0
    from past, (select * from tenants_apikey order by id limit 1) k order by n"""
_ROLLED_UP = """
    insert into inference_rollupmark as mark (id, xid, completion_id, at)
    values (1, 1, '00000000-0000-0000-0000-000000000000', now())
    on conflict (id) do update set xid = greatest(mark.xid, excluded.xid)"""


def furnish(forebay: Forebay, keys: Path, tenants: int, records: int) -> None:
    """Write the keys of so many tenants into a file, a line each, and make the records."""
    environment = {**forebay.env, **forebay.running(), "FOREBAY_DATABASE_SCOPE": "system"}
    command = [sys.executable, "-m", "bench.parts.growth.homes", str(tenants)]
    made = subprocess.run(
        command, cwd=REPOSITORY, env=environment, check=True, stdout=subprocess.PIPE, text=True
    )
    keys.write_text(made.stdout)
    if records:
        _make_past(forebay, records)


def _make_past(forebay: Forebay, records: int) -> None:
    """Insert the records as PostgreSQL's superuser, without triggers and with indexes made after
    them.
    """
    password = (forebay.home / "secrets" / "postgres.password").read_text().strip()
    dsn = make_conninfo(forebay.running()["DATABASE_URL"], user="postgres", password=password)
    with psycopg.connect(dsn, autocommit=True) as database:
        database.execute("set session_replication_role = replica")
        database.execute(_ROLLED_UP)
        indexes = database.execute(_INDEXES, [list(_TABLES), list(_TABLES)]).fetchall()
        for name, _definition in indexes:
            database.execute(f'drop index "{name}"')
        for chunk in in_chunks(records, 1_000_000):
            database.execute("drop table if exists past")
            with psycopg.ClientCursor(database) as cursor:
                cursor.execute(_PAST, {**chunk, "seconds": DAYS * 86_400})
            database.execute(_COMPLETIONS)
            database.execute(_USAGE)
            tell(f"{chunk['last']:,} requests on record")
        database.execute("drop table past")
        for _name, definition in indexes:
            database.execute(definition)
        database.execute("vacuum analyze inference_completion, inference_usage")


def main(tenants: int) -> None:
    """Print the keys of new tenants, a line each."""
    import django

    django.setup()
    from bench.parts.many_tenants import open_tenants

    print("\n".join(open_tenants(tenants, quotas=False)))


if __name__ == "__main__":
    os.environ["DJANGO_SETTINGS_MODULE"] = "config.settings"
    main(int(sys.argv[1]))
