"""The usage pages with ten million usage rows behind them, on servers of their own (some 6 GB).

Rows are made by SQL in the order of time, rolled up by the platform's own job, and looked at
through Django's test client as a tenant's owner and as an operator.
"""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from uuid import uuid4

from django.conf import settings
from django.contrib.auth.models import Group
from django.db import connection
from django.db.models import Max, Min, Sum
from django.test import Client
from django.test.utils import CaptureQueriesContext

from bench.figures import Aim, cell, pair, percentile, table, tell
from bench.servers.without_platform import in_chunks
from inference.models import UsageDay, UsageHour
from inference.usage import rollup
from tenants.models import ApiKey, Member, Team, Tenant, User
from tenants.roles import Role

TENANTS, DAYS, KEYS, MODELS = 50, 90, 4, 3  # keys of each tenant
ROUNDS = 20  # how often each page is asked for
ZONES = ("UTC", "Asia/Shanghai", "Europe/Berlin")
BACKEND = "allauth.account.auth_backends.AuthenticationBackend"
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
    select (lpad(to_hex((extract(epoch from at) * 1000)::bigint), 12, '0') || '70008'
            || lpad(to_hex(n), 15, '0'))::uuid, s.tenant_id, s.api_key_id, s.member_id, s.team_id,
           'model-' || floor(models * r * r), prompt, completion, prompt / 5,
           prompt + 4 * completion,
           case when fate < 0.98 then 200 when fate < 0.99 then 502 else 499 end,
           case when fate < 0.98 then 'stop' when fate < 0.99 then 'error' else 'cancelled' end,
           case when fate between 0.98 and 0.99 then 'engine_failed' else '' end, 1,
           (exp(2 + 2 * r) * fate)::int, ttft, ttft + completion * (8 + 25 * r)::int, at
    from (select n, random() as r, random() as fate, random() as whose,
                 (50 + 3000 * random() ^ 3)::int as prompt,
                 (1 + 600 * random() ^ 2)::int as completion,
                 (60 * exp(1.5 * random()))::int as ttft
          from generate_series(%(first)s::bigint, %(last)s) n offset 0) made,
         (select %(total)s::float8 total, %(seconds)s::float8 seconds, %(models)s models,
                 count(*) as subjects from subject) given,
         lateral (select now() - make_interval(secs => (total - n) * seconds / total) as at
                  offset 0) t,
         lateral (select * from subject
                  where number = floor(subjects * whose ^ 1.5)::bigint offset 0) s"""


@dataclass(slots=True)
class Timing:
    """Milliseconds: of the page through Django, of its queries alone, and their number."""

    page: str
    p50: float
    p95: float
    sql_p50: float
    queries: int
    kib: float


@dataclass(slots=True)
class UsageReport:
    rows: int
    tenants: int
    over_days: int
    rounds: int  # how often each page was asked for
    hours: int  # rows in UsageHour
    days: int  # rows in UsageDay
    roll_up_rows_per_s: float
    bytes_per_row: dict[str, float]
    pages: list[Timing]


def measure(rows: int) -> UsageReport:
    owners = [a_tenant(number) for number in range(TENANTS)]
    make(rows)
    rows, speed = _roll_up()
    hours, days = UsageHour.objects.count(), UsageDay.objects.count()
    sizes = {}
    with connection.cursor() as cursor:
        cursor.execute("vacuum analyze inference_usagehour, inference_usageday")
        for name, count in (("inference_usagehour", hours), ("inference_usageday", days)):
            cursor.execute("select pg_total_relation_size(%s)", [name])
            sizes[name] = round(cursor.fetchone()[0] / max(count, 1))
    pages = [_timed(*visit) for visit in _visits(owners)]
    return UsageReport(rows, TENANTS, DAYS, ROUNDS, hours, days, speed, sizes, pages)


def a_tenant(number: int) -> Member:
    """Opens it with keys, two members and a team. Returns the owner."""
    name = f"tenant-{number}"
    tenant = Tenant.open(name, by="bench", time_zone=ZONES[number % len(ZONES)])
    owner, other = (
        tenant.add_member(User.objects.create_user(f"{who}@{name}.example"), role, by="bench")
        for who, role in (("owner", Role.OWNER), ("other", Role.DEVELOPER))
    )
    team = Team.objects.create(tenant=tenant, name="team", group=Group.objects.create(name=name))
    for n in range(KEYS):
        key = ApiKey(tenant=tenant, name=f"key {n}", created_by=other, team=team if n % 2 else None)
        key.public_id, key.digest = uuid4().hex[:12], uuid4().bytes
        key.save()
    assert isinstance(owner, Member)
    return owner


def make(rows: int) -> None:
    """Makes usage rows, without the requests that they belong to."""
    with connection.cursor() as cursor:
        cursor.execute(_FOREIGN_KEYS)
        for (name,) in cursor.fetchall():
            cursor.execute(f'alter table inference_usage drop constraint "{name}"')
        cursor.execute(_BARE)
        cursor.execute("analyze subject")
        for chunk in in_chunks(rows):
            cursor.execute(_MADE, {**chunk, "seconds": DAYS * 86400, "models": MODELS})
            tell(f"{chunk['last']:,} usage rows made")
        cursor.execute("create index usage_created on inference_usage (created_at)")
        cursor.execute("analyze inference_usage")


def _roll_up() -> tuple[int, float]:
    """Roll up all rows, as the job does; returns their number, and rows a second."""
    rows, started = 0, time.monotonic()
    while more := rollup.roll_up():
        rows += more
        tell(f"{rows:,} rows rolled up in {time.monotonic() - started:.0f} s")
    return rows, rows / (time.monotonic() - started)


def _visits(owners: Sequence[Member]) -> Iterator[tuple[str, User, str]]:
    """Yields name, reader and address of each page."""
    settings.ALLOWED_HOSTS = ["*"]
    operator = User.objects.create_user("operator@forebay.example", is_operator=True)
    sums = UsageDay.objects.values("tenant").annotate(all=Sum("requests")).order_by("-all")
    owner = next(owner for owner in owners if owner.tenant_id == sums[0]["tenant"])
    mine, every = f"/console/t/{owner.tenant.name}/usage/", "/console/usage/"
    ends = UsageDay.objects.aggregate(first=Min("starts"), last=Max("starts"))
    quarter = f"range=custom&first={ends['first'].date()}&last={ends['last'].date()}"
    for part, by in (("range=24h", "key"), ("range=7d", "model"), ("range=30d", "key")):
        yield f"busiest tenant, {part}, by {by}", owner.user, f"{mine}?{part}&by={by}"
    yield "busiest tenant, 90 days, by key", owner.user, f"{mine}?{quarter}&by=key"
    yield "busiest tenant, 90 days, one model", owner.user, f"{mine}?{quarter}&model=model-1&by=key"
    for part, by in (("range=24h", "tenant"), ("range=7d", "tenant"), ("range=30d", "model")):
        yield f"platform, {part}, by {by}", operator, f"{every}?{part}&by={by}"
    for by in ("tenant", "key"):
        yield f"platform, 90 days, by {by}", operator, f"{every}?{quarter}&by={by}"
    yield "busiest tenant, overview", owner.user, f"/console/t/{owner.tenant.name}/"
    yield "platform, overview", operator, "/console/"


def _timed(name: str, reader: User, url: str) -> Timing:
    client = Client()
    client.force_login(reader, BACKEND)
    pages, queries = [], []
    for _ in range(ROUNDS):
        with CaptureQueriesContext(connection) as captured:
            started = time.perf_counter()
            answer = client.get(url)
            pages.append((time.perf_counter() - started) * 1000)
        assert answer.status_code == 200, answer.status_code
        queries.append(sum(float(query["time"]) for query in captured.captured_queries) * 1000)
    p50, p95, sql_p50 = (
        percentile(sorted(times), percent) or 0
        for times, percent in ((pages, 50), (pages, 95), (queries, 50))
    )
    kib = len(answer.content) / 1024
    timing = Timing(name, p50, p95, sql_p50, len(captured.captured_queries), kib)
    tell(timing)
    return timing


def section(report: UsageReport) -> str:
    sizes = ", ".join(f"{size:.0f} in {name}" for name, size in report.bytes_per_row.items())
    text = (
        f"{report.rows:,} usage rows of {report.tenants} tenants of very unequal size over "
        f"{report.over_days} days, rolled up by the platform's own job at "
        f"{report.roll_up_rows_per_s:,.0f} rows/s into {report.hours:,} hours and "
        f"{report.days:,} days. Bytes per row with indexes: {sizes}. Each page was asked for "
        f"{report.rounds} times through Django's test client: middleware, queries, template."
    )
    head = ("page", "p50 / p95 ms", "its SQL p50 ms", "queries", "KiB")
    body = (
        (one.page, pair(one.p50, one.p95), cell(one.sql_p50), str(one.queries), cell(one.kib))
        for one in report.pages
    )
    return f"{text}\n\n{table(head, body)}"


def aims(report: UsageReport) -> Iterator[Aim]:
    slowest = max(report.pages, key=lambda page: page.p95)
    text = f"slowest usage page with {report.rows:,} rows behind it ({slowest.page}), p95"
    yield Aim(text, slowest.p95, "ms", 1000)
