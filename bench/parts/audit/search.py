"""The audit trail's search in ten million events, on a PostgreSQL of its own (some 6 GB).

Events are made by SQL over 200 days and looked for through the platform's own code
(audit/search/events.py), inside a tenant's scope with row security on, or as an operator over the
whole platform.
"""

import random
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Any
from uuid import UUID, uuid4

from django.db import connection
from django.utils import timezone

from audit.keys.keyring import keyring
from audit.models import Payload
from audit.search import text_search
from audit.search.events import Filters, page
from audit.search.texts import aad
from bench.figures import Aim, pair, percentile, table, tell
from bench.servers.without_platform import in_chunks
from tenants.models import Tenant
from tenants.scope import system_scope, tenant_scope

DAYS, TENANTS, PEOPLE = 200, 50, 2_000  # of very unequal size
ROUNDS = 40  # how often each question is asked
TEXTS = 10_000
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
_BUSIEST_FIRST = "select tenant_id from audit_event group by 1 order by count(*) desc"
_PEOPLE_OF = """
    select subject_id, actor, host(net) from subject where tenant_id = %s order by number"""
_INDEX_MIB = """
    select i.inhparent::regclass::text, sum(pg_relation_size(i.inhrelid)) / 1048576.0
    from pg_inherits i join pg_class p on p.oid = i.inhparent
    where p.relkind = 'I' and exists (select from pg_index x
        where x.indexrelid = p.oid and x.indrelid = 'audit_event'::regclass)
    group by 1 order by 2 desc"""


@dataclass(slots=True)
class Timing:
    question: str
    p50_ms: float
    p95_ms: float
    rows: float  # of a page, on average
    aim_ms: int


@dataclass(slots=True)
class SearchReport:
    rows: int
    days: int
    tenants: int
    people: int
    rounds: int
    questions: list[Timing]
    index_mib: dict[str, float]
    texts: int
    texts_s: float


Fields = Callable[[], dict[str, Any]]  # of filters
Ask = Callable[[], tuple[UUID | None, Filters]]  # the tenant (None: all) and filters of a round


def measure(rows: int) -> SearchReport:
    _make(rows)
    timings = [_timed(*question) for question in _questions()]
    sizes = {name: round(float(size), 1) for name, size in _rows_of(_INDEX_MIB)}
    texts_s = _text_search()
    return SearchReport(rows, DAYS, TENANTS, PEOPLE, ROUNDS, timings, sizes, TEXTS, texts_s)


def _make(rows: int) -> None:
    """Indexes are built afterwards: it is the searching that is measured."""
    with connection.cursor() as cursor:
        cursor.execute(_MONTHS)
        cursor.execute(_PEOPLE, {"tenants": TENANTS, "people": PEOPLE})
        indexes = _rows_of(_INDEXES)
        for name, _definition in indexes:
            cursor.execute(f"drop index {name}")
        for chunk in in_chunks(rows):
            cursor.execute(_MADE, {**chunk, "seconds": DAYS * 86400})
            tell(f"{chunk['last']:,} events made")
        for name, definition in indexes:
            cursor.execute(definition.replace(" ON ONLY ", " ON "))
            tell(f"{name} made")
        cursor.execute("vacuum analyze audit_event")


def _rows_of(sql: str, *parameters: Any) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(sql, parameters)
        rows: list[tuple[Any, ...]] = cursor.fetchall()
    return rows


def _questions() -> Iterator[tuple[str, int, Ask]]:
    """Yields name, aim in ms, and what it asks in a round."""
    draw, now = random.Random(11), timezone.now()
    tenants = [row[0] for row in _rows_of(_BUSIEST_FIRST)]
    busiest, middle, quietest = tenants[0], tenants[len(tenants) // 2], tenants[-1]
    people = {tenant: _rows_of(_PEOPLE_OF, tenant) for tenant in (busiest, middle, quietest)}

    def anybody(tenant: UUID) -> tuple[Any, ...]:
        """Returns subject, actor and network: of a busy one as often as of a quiet one."""
        return draw.choice(people[tenant][:5] if draw.random() < 0.5 else people[tenant])

    def ranged(span: int) -> dict[str, Any]:
        since = now - timedelta(days=draw.uniform(span, DAYS))
        return {"since": since, "until": since + timedelta(days=span)}

    def in_range(span: int) -> tuple[UUID, Filters]:
        tenant = draw.choice([busiest, middle, quietest])
        return tenant, Filters(subject_id=anybody(tenant)[0], **ranged(span))

    def of(tenant: UUID | None, fields: Fields) -> tuple[UUID | None, Filters]:
        return tenant, Filters(**fields())

    for span in (1, 7, 30):
        yield f"user + {span} days", 100, partial(in_range, span)
    fields: dict[str, Fields] = {
        "everything": dict,
        "a time range": lambda: ranged(7),
        "user": lambda: {"subject_id": anybody(busiest)[0]},
        "key": lambda: {"actors": (anybody(busiest)[1],)},
        "two keys": lambda: {"actors": (anybody(busiest)[1], anybody(busiest)[1])},
        "network": lambda: {"net": anybody(busiest)[2]},
        "request id": lambda: {"request_id": UUID(int=draw.randrange(4_000_000))},
        "model": lambda: {"model": "model-1"},
        "a rare model": lambda: {"model": "rare"},
        "a model that nobody used": lambda: {"model": "none"},
        "status 200": lambda: {"status": 200},
        "status 502": lambda: {"status": 502},
        "status 418, which there is not": lambda: {"status": 418},
        "failed": lambda: {"failed": True},
        "actions, without requests": lambda: {"acts": True},
        "one action": lambda: {"action": "session:login"},
        "an action that there is not": lambda: {"action": "tenant:close"},
        "a route that there is not": lambda: {"route": "/v1/none"},
        "user + model nobody used": lambda: {"subject_id": people[busiest][0][0], "model": "none"},
        "busiest key + status 418": lambda: {"actors": (people[busiest][0][1],), "status": 418},
    }
    few = ("everything", "a rare model", "one action", "network")
    of_all = ("everything", "key", "network", "status 502", "actions, without requests")
    for whose, tenant, names in (
        ("busiest tenant", busiest, fields),
        ("quietest tenant", quietest, few),
        ("whole platform", None, (*of_all, "a model that nobody used", "request id")),
    ):
        for name in names:
            yield f"{whose}: {name}", 300, partial(of, tenant, fields[name])


def _timed(name: str, aim: int, ask: Ask) -> Timing:
    """Time the first page, and every other time the third one."""
    times, row_counts = [], []
    for number in range(ROUNDS):
        tenant, filters = ask()
        cursor = ""
        with tenant_scope(tenant) if tenant else system_scope():
            for _ in range(2 if number % 2 else 0):
                cursor = page(tenant, filters, cursor).older or ""
            started = time.perf_counter()
            answer = page(tenant, filters, cursor)
            times.append((time.perf_counter() - started) * 1000)
            row_counts.append(len(answer.rows))
    p50, p95 = (round(percentile(sorted(times), percent) or 0, 2) for percent in (50, 95))
    timing = Timing(name, p50, p95, sum(row_counts) / ROUNDS, aim)
    tell(timing)
    return timing


def _text_search() -> float:
    """Returns the seconds to open and look through as many texts of 2 KiB as one search may."""
    tenant, now, rows = Tenant.open("texts", by="bench").id, timezone.now(), []
    ciphers = [keyring.of_subject_now(tenant, uuid4()) for _ in range(50)]
    for n in range(TEXTS):
        request, cipher = uuid4(), ciphers[n % 50]
        row = Payload(at=now - timedelta(seconds=n), tenant_id=tenant, request_id=request)
        text, context = b"some words of a long text " * 80, aad(tenant, request, "response")
        row.field, row.data_key_id = "response", cipher.key_id
        row.ciphertext = cipher.encrypt(text, context)
        rows.append(row)
    Payload.objects.bulk_create(rows, 1000)
    day: dict[str, Any] = {"since": now - timedelta(days=1), "until": now + timedelta(days=1)}
    started = time.perf_counter()
    with tenant_scope(tenant):
        text_search.search(tenant, "nobody said this", by="bench", reason="bench", **day)
    return round(time.perf_counter() - started, 2)


def section(report: SearchReport) -> str:
    text = (
        f"{report.rows:,} events of {report.tenants} tenants and {report.people:,} people of very "
        f"unequal size over {report.days} days, found by audit/search/events.py in the tenant's "
        f"scope (row security on); each question {report.rounds} times, half of them as a first "
        f"page, half as a third one. One search in texts: {report.texts:,} texts of 2 KiB in "
        f"{report.texts_s:.1f} s."
    )
    head = ("question", "p50 / p95 ms", "aim ms", "rows")
    body = (
        (one.question, pair(one.p50_ms, one.p95_ms), str(one.aim_ms), f"{one.rows:.0f}")
        for one in report.questions
    )
    sizes = table(("index", "MiB"), ((n, f"{s:.0f}") for n, s in report.index_mib.items()))
    return f"{text}\n\n{table(head, body)}\n\n{sizes}"


def aims(report: SearchReport) -> Iterator[Aim]:
    for limit in sorted({one.aim_ms for one in report.questions}):
        questions = [one for one in report.questions if one.aim_ms == limit]
        slowest = max(questions, key=lambda one: one.p95_ms)
        text = f"slowest audit search of {report.rows:,} events ({slowest.question}), p95"
        yield Aim(text, slowest.p95_ms, "ms", limit)
