"""Pages of the console and the chat with ten million requests behind them, on servers of its own.

Requests are made by SQL. Each page is asked for through Django's test client, and its statements
are then repeated under EXPLAIN: rows and blocks that PostgreSQL read do not depend on what else
the machine does.
"""

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.db import connection, transaction
from django.db.models import Count
from django.test import Client
from django.test.utils import CaptureQueriesContext

from bench.figures import Aim, cell, pair, percentile, table, tell
from bench.parts.console import usage
from inference.models import Completion
from inference.usage import rollup
from tenants.models import Member, User

ROUNDS = 10  # how often each page is asked for
_INDEXES = """
    select indexname, indexdef from pg_indexes
    where tablename = 'inference_completion' and indexname not in (
        select conname from pg_constraint where conrelid = 'inference_completion'::regclass)"""
_FOREIGN_KEYS = """
    select conname from pg_constraint
    where conrelid = 'inference_completion'::regclass and contype = 'f'"""
# Of the usage rows that usage.py makes.
_REQUESTS = """
    insert into inference_completion
        (id, tenant_id, api_key_id, member_id, model, route, stream, state, created_at, settled_at)
    select completion_id, tenant_id, api_key_id, member_id, model, '/v1/chat/completions', true,
           case when status = 200 then 'done' when status = 499 then 'cancelled' else 'failed' end,
           created_at, created_at + make_interval(secs => duration_ms / 1000.0)
    from inference_usage"""


@dataclass(slots=True)
class Effort:
    """The cost of a page: statements, what PostgreSQL read for them, and milliseconds."""

    page: str
    statements: int
    rows: int
    blocks: int  # of 8 KiB, in the cache or not
    p50: float
    p95: float
    kib: float


@dataclass(slots=True)
class PagesReport:
    rows: int
    tenants: int
    over_days: int
    rounds: int
    pages: list[Effort]


def measure(rows: int) -> PagesReport:
    owners = [usage.a_tenant(number) for number in range(usage.TENANTS)]
    usage.make(rows)
    _make_requests()
    while rollup.roll_up():
        pass
    with connection.cursor() as cursor:
        cursor.execute("vacuum analyze inference_completion, inference_usage, inference_usagehour")
    settings.ALLOWED_HOSTS = ["*"]
    efforts = [_effort(*visit) for visit in _visits(owners)]
    return PagesReport(rows, usage.TENANTS, usage.DAYS, ROUNDS, efforts)


def _make_requests() -> None:
    with connection.cursor() as cursor:
        cursor.execute("alter table inference_completion disable trigger user")
        cursor.execute(_FOREIGN_KEYS)
        for (name,) in cursor.fetchall():
            cursor.execute(f'alter table inference_completion drop constraint "{name}"')
        cursor.execute(_INDEXES)
        indexes = cursor.fetchall()
        for name, _definition in indexes:
            cursor.execute(f'drop index "{name}"')
        cursor.execute(_REQUESTS)
        tell("requests made")
        for _name, definition in indexes:
            cursor.execute(definition)


def _visits(owners: Sequence[Member]) -> Iterator[tuple[str, User, str]]:
    """Yields name, reader and address of each page."""
    operator = User.objects.create_user("operator@forebay.example", is_operator=True)
    owner, few = _busiest(owners)
    inside = f"/console/t/{owner.tenant.name}/"
    log, one = f"{inside}requests/", owner.tenant.completions.order_by("pk").first()
    key = owner.tenant.api_keys.first()
    assert one
    assert key
    yield "requests, newest", owner.user, log
    yield "requests, from the middle", owner.user, f"{log}?cursor={_middle(owner)}"
    yield "requests, failed", owner.user, f"{log}?state=failed"
    yield "requests, of one key", owner.user, f"{log}?key={key.pk}"
    yield "requests, a code that none has", owner.user, f"{log}?code=no_such_code"
    yield "requests, by an id", owner.user, f"{log}?id={one.pk}"
    yield "one request, the oldest", owner.user, f"{log}{one.pk}/"
    yield "own requests", few.user, f"/console/t/{few.tenant.name}/own-requests/"
    yield "all tenants' requests", operator, "/console/requests/"
    for name in ("", "usage/", "keys/", "members/", "quotas/", "refusals/", "queue/"):
        yield name.strip("/") or "overview", owner.user, f"{inside}{name}"
    yield "overview of the platform", operator, "/console/"
    yield "chat", owner.user, "/chat/"


def _busiest(owners: Sequence[Member]) -> tuple[Member, Member]:
    """Returns the owner of the tenant with most requests, and of that with fewest."""
    counts = Completion.objects.values("tenant").annotate(n=Count("pk")).order_by("-n")
    by_tenant = {owner.tenant_id: owner for owner in owners}
    ids = [row["tenant"] for row in counts]
    return by_tenant[ids[0]], by_tenant[ids[-1]]


def _middle(owner: Member) -> str:
    rows = owner.tenant.completions.order_by("-pk")
    return str(rows[rows.count() // 2].pk)


def _effort(name: str, reader: User, url: str) -> Effort:
    client, times = Client(), list[float]()
    client.force_login(reader, usage.BACKEND)
    for _ in range(ROUNDS):
        with CaptureQueriesContext(connection) as captured:
            started = time.perf_counter()
            answer = client.get(url)
            times.append((time.perf_counter() - started) * 1000)
        assert answer.status_code == 200, (url, answer.status_code)
    rows, blocks = _read([query["sql"] for query in captured.captured_queries])
    p50, p95 = (percentile(sorted(times), percent) or 0 for percent in (50, 95))
    statements, kib = len(captured.captured_queries), len(answer.content) / 1024
    effort = Effort(name, statements, rows, blocks, p50, p95, kib)
    tell(effort)
    return effort


def _read(statements: Sequence[str]) -> tuple[int, int]:
    """Repeats the statements of a page; returns the rows and blocks that its queries read."""
    rows = blocks = 0
    with transaction.atomic(), connection.cursor() as cursor:
        for statement in statements:
            if not statement.upper().startswith(("SELECT", "WITH")) or "set_config" in statement:
                if "set_config" in statement or statement.upper().startswith("SET LOCAL"):
                    cursor.execute(statement)
                continue
            cursor.execute(f"explain (analyze, buffers, format json) {statement}")
            (answer,) = cursor.fetchone()
            plan = (json.loads(answer) if isinstance(answer, str) else answer)[0]["Plan"]
            rows += _rows_of(plan)
            blocks += plan["Shared Hit Blocks"] + plan["Shared Read Blocks"]
        transaction.set_rollback(True)
    return rows, blocks


def _rows_of(plan: Mapping[str, Any]) -> int:
    """Returns the rows that the scans of a plan looked at."""
    own = 0
    if "Relation Name" in plan:
        names = ("Actual Rows", "Rows Removed by Filter", "Rows Removed by Index Recheck")
        own = round(sum(plan.get(name, 0) for name in names) * plan["Actual Loops"])
    return own + sum(_rows_of(part) for part in plan.get("Plans", ()))


def section(report: PagesReport) -> str:
    text = (
        f"{report.rows:,} requests of {report.tenants} tenants of very unequal size over "
        f"{report.over_days} days. Pages are those of the busiest tenant, if not said otherwise. "
        f"Each was asked for {report.rounds} times through Django's test client. Rows and blocks "
        "(8 KiB) are what PostgreSQL read for its statements, repeated under EXPLAIN."
    )
    head = ("page", "statements", "rows read", "blocks read", "p50 / p95 ms", "KiB")
    body = (
        (
            one.page,
            str(one.statements),
            f"{one.rows:,}",
            f"{one.blocks:,}",
            pair(one.p50, one.p95),
            cell(one.kib),
        )
        for one in report.pages
    )
    return f"{text}\n\n{table(head, body)}"


def aims(report: PagesReport) -> Iterator[Aim]:
    slowest = max(report.pages, key=lambda page: page.p95)
    text = f"slowest page with {report.rows:,} requests behind it ({slowest.page}), p95"
    yield Aim(text, slowest.p95, "ms", 1500)  # the log looks for a second, then says how far
