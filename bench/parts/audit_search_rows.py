"""Events by the million, made in PostgreSQL: 50 tenants and 2,000 people of very unequal size."""

from uuid import UUID

from django.db import connection

from bench.figures.progress import tell

CHUNK = 500_000
_MONTHS = """
    select audit_attach_month(parent, m::date)
    from unnest(array['audit_event', 'audit_payload']) parent,
         generate_series(date_trunc('month', now()) - interval '8 months',
                         date_trunc('month', now()) - interval '1 month', interval '1 month') m
    where to_regclass(audit_partition_name(parent, m::date)) is null"""
_PEOPLE = """
    create unlogged table subject as
    select n as number, md5('tenant' || n %% %(tenants)s)::uuid as tenant_id,
           md5('subject' || n)::uuid as subject_id, 'key:' || md5('key' || n)::uuid as actor,
           ('10.' || n %% 200 || '.' || n / 200 || '.0')::inet as net
    from generate_series(0, %(people)s - 1) n;
    create unique index on subject (number); analyze subject"""
# Pairs of received and completed; one in 500 is an act. Rare is a model of one request in 100,000.
_MADE = """
    insert into audit_event (at, action, tenant_id, request_id, actor, subject_id, client_net,
        route, model, success, status, error_code, response_length, processing_ms, tokens_in,
        tokens_out, detail, upstream)
    select now() - make_interval(secs => (total - n) * seconds / total),
           case when act then 'session:login' when done then 'completion:completed'
                else 'completion:received' end,
           s.tenant_id, case when act then null else lpad(to_hex(n / 2), 32, '0')::uuid end,
           s.actor, s.subject_id, s.net, '/v1/chat/completions',
           case when n %% 100000 < 2 then 'rare' else 'model-' || (n / 2) %% 3 end,
           not failed, case when done then case when failed then 502 else 200 end end,
           case when failed then 'engine_failed' else '' end,
           case when done then 800 end, case when done then 1200 end,
           case when done then 300 end, case when done then 200 end, '{}', ''
    from (select n, n %% 2 = 1 as done, n %% 500 = 0 as act, n %% 2 = 1 and n %% 67 = 0 as failed,
                 (hashint8(n / 2)::bigint + 2147483648) / 4294967296.0 as whose
          from generate_series(%(first)s::bigint, %(last)s) n offset 0) made,
         (select %(total)s::float8 total, %(seconds)s::float8 seconds,
                 count(*) as subjects from subject) given,
         lateral (select * from subject
                  where number = floor(subjects * whose ^ 3)::bigint offset 0) s"""
_INDEXES = """
    select indexrelid::regclass::text, pg_get_indexdef(indexrelid) from pg_index
    where indrelid = 'audit_event'::regclass and not indisunique"""


def make(rows: int, days: int, tenants: int, people: int) -> None:
    """Indexes are built afterwards: it is the searching that is measured."""
    with connection.cursor() as cursor:
        cursor.execute(_MONTHS)
        cursor.execute(_PEOPLE, {"tenants": tenants, "people": people})
        cursor.execute(_INDEXES)
        indexes = cursor.fetchall()
        for name, _definition in indexes:
            cursor.execute(f"drop index {name}")
        for first in range(1, rows + 1, CHUNK):
            size = {"first": first, "last": min(first + CHUNK - 1, rows), "total": rows}
            cursor.execute(_MADE, {**size, "seconds": days * 86400})
            tell(f"{size['last']:,} events made")
        for name, definition in indexes:
            cursor.execute(definition.replace(" ON ONLY ", " ON "))
            tell(f"{name} made")
    with connection.cursor() as cursor:
        cursor.execute("vacuum analyze audit_event")


def tenants() -> list[UUID]:
    """The busiest one, one in the middle, the quietest."""
    with connection.cursor() as cursor:
        cursor.execute("select tenant_id from audit_event group by 1 order by count(*) desc")
        ids = [row[0] for row in cursor.fetchall()]
    return [ids[0], ids[len(ids) // 2], ids[-1]]


def people(tenant: UUID) -> list[tuple[UUID, str, str]]:
    """Subject, actor and network of everybody in it."""
    with connection.cursor() as cursor:
        cursor.execute(
            "select subject_id, actor, host(net) from subject where tenant_id = %s order by number",
            [tenant],
        )
        rows: list[tuple[UUID, str, str]] = cursor.fetchall()
    return rows


def index_sizes() -> dict[str, float]:
    """MiB of each index over all months."""
    with connection.cursor() as cursor:
        cursor.execute("""
            select i.inhparent::regclass::text, sum(pg_relation_size(i.inhrelid)) / 1048576.0
            from pg_inherits i join pg_class p on p.oid = i.inhparent
            where p.relkind = 'I' and exists (select from pg_index x
                where x.indexrelid = p.oid and x.indrelid = 'audit_event'::regclass)
            group by 1 order by 2 desc""")
        return {name: round(float(size), 1) for name, size in cursor.fetchall()}
