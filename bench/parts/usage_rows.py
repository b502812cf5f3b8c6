"""Usage rows by the million, made in PostgreSQL, of tenants of very unequal size."""

from uuid import uuid4

from django.contrib.auth.models import Group
from django.db import connection

from bench.figures.progress import tell
from tenants.models import ApiKey, Member, Team, Tenant, User
from tenants.roles import Role

CHUNK = 500_000
ZONES = ("UTC", "Asia/Shanghai", "Europe/Berlin")

# Without the requests that they belong to, which no usage page reads.
_BARE = """
    alter table inference_usage set unlogged;
    drop index usage_created, usage_tenant_created;
    create unlogged table subject as
        select row_number() over (order by tenant_id, api_key_id, member_id) - 1 as number, *
        from (select tenant_id, id as api_key_id, null::uuid as member_id, team_id
              from tenants_apikey
              union all select tenant_id, null, id, null from tenants_member) s;
    create unique index on subject (number)"""
_FOREIGN_KEYS = """
    select conname from pg_constraint
    where conrelid = 'inference_usage'::regclass and contype = 'f'"""
_MADE = """
    insert into inference_usage
        (completion_id, tenant_id, api_key_id, member_id, team_id, model, prompt_tokens,
         completion_tokens, cached_tokens, cost, status, finish_reason, error_code, attempts,
         queue_ms, ttft_ms, duration_ms, created_at)
    select lpad(to_hex(n), 32, '0')::uuid, s.tenant_id, s.api_key_id, s.member_id, s.team_id,
           'model-' || floor(models * r * r), prompt, completion, prompt / 5,
           prompt + 4 * completion,
           case when fate < 0.98 then 200 when fate < 0.99 then 502 else 499 end,
           case when fate < 0.98 then 'stop' when fate < 0.99 then 'error' else 'cancelled' end,
           case when fate between 0.98 and 0.99 then 'engine_failed' else '' end, 1,
           (exp(2 + 2 * r) * fate)::int, ttft, ttft + completion * (8 + 25 * r)::int,
           now() - make_interval(secs => (total - n) * seconds / total)
    from (select n, random() as r, random() as fate, random() as whose,
                 (50 + 3000 * random() ^ 3)::int as prompt,
                 (1 + 600 * random() ^ 2)::int as completion,
                 (60 * exp(1.5 * random()))::int as ttft
          from generate_series(%(first)s::bigint, %(last)s) n offset 0) made,
         (select %(total)s::float8 total, %(seconds)s::float8 seconds, %(models)s models,
                 count(*) as subjects from subject) given,
         lateral (select * from subject
                  where number = floor(subjects * whose ^ 1.5)::bigint offset 0) s"""


def tenants(number: int, keys: int) -> list[Member]:
    """Opens them, each with keys, two members and a team. Returns the owners."""
    return [_tenant(n, keys) for n in range(number)]


def _tenant(number: int, keys: int) -> Member:
    name = f"tenant-{number}"
    tenant = Tenant.open(name, by="bench", time_zone=ZONES[number % len(ZONES)])
    owner, other = (
        tenant.add_member(User.objects.create_user(f"{who}@{name}.example"), role, by="bench")
        for who, role in (("owner", Role.OWNER), ("other", Role.DEVELOPER))
    )
    team = Team.objects.create(tenant=tenant, name="team", group=Group.objects.create(name=name))
    for n in range(keys):
        key = ApiKey(tenant=tenant, name=f"key {n}", created_by=other, team=team if n % 2 else None)
        key.public_id, key.digest = uuid4().hex[:12], uuid4().bytes
        key.save()
    assert isinstance(owner, Member)
    return owner


def make(rows: int, days: int, models: int) -> None:
    with connection.cursor() as cursor:
        cursor.execute(_FOREIGN_KEYS)
        for (name,) in cursor.fetchall():
            cursor.execute(f'alter table inference_usage drop constraint "{name}"')
        cursor.execute(_BARE)
        cursor.execute("analyze subject")
        for first in range(1, rows + 1, CHUNK):
            last = min(first + CHUNK - 1, rows)
            size = {"first": first, "last": last, "total": rows}
            cursor.execute(_MADE, {**size, "seconds": days * 86400, "models": models})
            tell(f"{last:,} usage rows made")
        cursor.execute("create index usage_created on inference_usage (created_at)")
        cursor.execute("analyze inference_usage")


def bytes_per_row(hours: int, days: int) -> dict[str, float]:
    """Returns the bytes of a row of each roll-up, with its indexes."""
    sizes = {}
    with connection.cursor() as cursor:
        for table, rows in (("inference_usagehour", hours), ("inference_usageday", days)):
            cursor.execute("select pg_total_relation_size(%s)", [table])
            sizes[table] = round(cursor.fetchone()[0] / max(rows, 1))
    return sizes
