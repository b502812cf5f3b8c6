"""python -m bench.parts.audit_search [--rows N]: the audit trail's search with ten million events.

Own PostgreSQL in a temporary folder, which is removed afterwards (some 6 GB). Events are made by
SQL over 200 days and looked for through the platform's own code (audit/search/events.py), inside a
tenant's scope with row security on, or as an operator over the whole platform.
"""

import argparse
import json
import random
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

from bench.figures.statistics import percentile
from bench.figures.tables import pair, table
from bench.servers.without_platform import django_on_own_servers

FULL = 10_000_000


def read_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.parts.audit_search")
    parser.add_argument("--rows", type=int, default=FULL)
    parser.add_argument("--days", type=int, default=200)
    parser.add_argument("--tenants", type=int, default=50)
    parser.add_argument("--people", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=40, help="how often each question is asked")
    parser.add_argument("--texts", type=int, default=10_000)
    parser.add_argument("--json", type=Path, help="where to write the figures")
    return parser.parse_args()


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
    questions: list[Timing] = field(default_factory=list)
    index_mib: dict[str, float] = field(default_factory=dict)
    texts: int = 0
    texts_s: float = 0.0
    plans: dict[str, str] = field(default_factory=dict)


def main() -> None:
    options = read_options()
    with django_on_own_servers():
        report = measured(options)
    tell(section(report))
    if options.json:
        options.json.write_text(json.dumps(asdict(report), indent=2) + "\n")


def measured(options: argparse.Namespace) -> SearchReport:
    from django.db import connection

    from bench.parts import audit_search_rows as rows

    rows.make(options.rows, options.days, options.tenants, options.people)
    asked = options.days, options.tenants, options.people, options.rounds
    report = SearchReport(options.rows, *asked)
    for name, aim, ask in questions(options.days):
        report.questions.append(timed(name, aim, ask, options.rounds, report))
        tell(report.questions[-1])
    report.index_mib = rows.index_sizes()
    report.texts, report.texts_s = options.texts, text_search(options.texts)
    connection.close()
    return report


def questions(days: int) -> Iterator[tuple[str, int, Any]]:
    """Name, aim in ms, and what gives the tenant and the filters of each round."""
    from django.utils import timezone

    from audit.search.events import Filters
    from bench.parts import audit_search_rows as rows

    draw, now = random.Random(11), timezone.now()
    busiest, middle, quiet = rows.tenants()
    people = {tenant: rows.people(tenant) for tenant in (busiest, middle, quiet)}

    def anybody(tenant: UUID) -> tuple[UUID, str, str]:
        """The busy ones as often as the quiet ones."""
        return draw.choice(people[tenant][:5] if draw.random() < 0.5 else people[tenant])

    def ranged(span: int) -> dict[str, Any]:
        since = now - timedelta(days=draw.uniform(span, days))
        return {"since": since, "until": since + timedelta(days=span)}

    def in_range(span: int) -> tuple[UUID, Any]:
        tenant = draw.choice([busiest, middle, quiet])
        return tenant, Filters(subject_id=anybody(tenant)[0], **ranged(span))

    for span in (1, 7, 30):
        yield f"user + {span} days", 100, partial(in_range, span)
    for name, given in (
        ("everything", dict),
        ("a time range", lambda: ranged(7)),
        ("user", lambda: {"subject_id": anybody(busiest)[0]}),
        ("key", lambda: {"actors": (anybody(busiest)[1],)}),
        ("two keys", lambda: {"actors": (anybody(busiest)[1], anybody(busiest)[1])}),
        ("network", lambda: {"net": anybody(busiest)[2]}),
        ("request id", lambda: {"request_id": UUID(int=draw.randrange(4_000_000))}),
        ("model", lambda: {"model": "model-1"}),
        ("a rare model", lambda: {"model": "rare"}),
        ("a model that nobody used", lambda: {"model": "none"}),
        ("status 200", lambda: {"status": 200}),
        ("status 502", lambda: {"status": 502}),
        ("status 418, which there is not", lambda: {"status": 418}),
        ("failed", lambda: {"failed": True}),
        ("actions, without requests", lambda: {"acts": True}),
        ("one action", lambda: {"action": "session:login"}),
        ("an action that there is not", lambda: {"action": "tenant:close"}),
        ("a route that there is not", lambda: {"route": "/v1/none"}),
        (
            "user + model nobody used",
            lambda: {"subject_id": people[busiest][0][0], "model": "none"},
        ),
        ("busiest key + status 418", lambda: {"actors": (people[busiest][0][1],), "status": 418}),
    ):
        yield f"busiest tenant: {name}", 300, lambda g=given: (busiest, Filters(**g()))
        if name in ("everything", "a rare model", "one action", "network"):
            yield f"quietest tenant: {name}", 300, lambda g=given: (quiet, Filters(**g()))
    for name, given in (
        ("everything", dict),
        ("key", lambda: {"actors": (anybody(busiest)[1],)}),
        ("network", lambda: {"net": anybody(busiest)[2]}),
        ("status 502", lambda: {"status": 502}),
        ("actions, without requests", lambda: {"acts": True}),
        ("a model that nobody used", lambda: {"model": "none"}),
        ("request id", lambda: {"request_id": UUID(int=draw.randrange(4_000_000))}),
    ):
        yield f"whole platform: {name}", 300, lambda g=given: (None, Filters(**g()))


def timed(name: str, aim: int, ask: Any, rounds: int, report: SearchReport) -> Timing:
    """First page, and every other time the third one."""
    from audit.search.events import page
    from tenants.scope import system_scope, tenant_scope

    times, found = [], []
    for number in range(rounds):
        tenant, filters = ask()
        cursor = ""
        with tenant_scope(tenant) if tenant else system_scope():
            for _ in range(2 if number % 2 else 0):
                cursor = page(tenant, filters, cursor).older or ""
            started = time.perf_counter()
            shown = page(tenant, filters, cursor)
            times.append((time.perf_counter() - started) * 1000)
            found.append(len(shown.rows))
            if not number:
                report.plans[name] = plan(tenant, filters)
    ordered = sorted(times)
    p50, p95 = percentile(ordered, 50) or 0, percentile(ordered, 95) or 0
    return Timing(name, round(p50, 2), round(p95, 2), sum(found) / rounds, aim)


def plan(tenant: UUID | None, filters: Any) -> str:
    """The lines of EXPLAIN ANALYZE that name an index, or its lack."""
    from django.db import connection

    from audit.search.events import LOOK, PAGE, statement, through_indexes

    sql, given, _bounded = statement(tenant, filters, None, PAGE + 1, LOOK)
    with through_indexes(sort=bool(filters.request_id)), connection.cursor() as cursor:
        cursor.execute(f"explain (analyze, buffers, summary) {sql}", given)
        lines = [row[0].strip() for row in cursor.fetchall()]
    kept = ("Index", "Seq Scan", "Bitmap", "Sort", "Execution", "Planning Time", "Limit", "Append")
    said = [line for line in lines if any(word in line for word in kept) and "Key:" not in line]
    ran = [line for line in said if "never executed" not in line]
    return "\n".join(ran[:14] + ran[-2:] if len(ran) > 16 else ran)


def text_search(texts: int) -> float:
    """Seconds to open and look through as many texts of 2 KiB as one search may."""
    from django.utils import timezone

    from audit.keys.keyring import keyring
    from audit.models import Payload
    from audit.search import text_search
    from audit.search.texts import aad
    from tenants.models import Tenant
    from tenants.scope import tenant_scope

    tenant, now, rows = Tenant.open("texts", by="bench").id, timezone.now(), []
    ciphers = [keyring.of_subject_now(tenant, uuid4()) for _ in range(50)]
    for n in range(texts):
        request, cipher = uuid4(), ciphers[n % 50]
        ciphertext = cipher.encrypt(
            b"some words of a long text " * 80, aad(tenant, request, "response")
        )
        row = Payload(at=now - timedelta(seconds=n), tenant_id=tenant, request_id=request)
        row.field, row.data_key_id, row.ciphertext = "response", cipher.key_id, ciphertext
        rows.append(row)
    Payload.objects.bulk_create(rows, 1000)
    day: dict[str, Any] = {"since": now - timedelta(days=1), "until": now + timedelta(days=1)}
    started = time.perf_counter()
    with tenant_scope(tenant):
        text_search.search(tenant, "nobody said this", by="bench", reason="bench", **day)
    return round(time.perf_counter() - started, 2)


def section(report: SearchReport) -> str:
    said = (
        f"{report.rows:,} events of {report.tenants} tenants and {report.people:,} people of very "
        f"unequal size over {report.days} days, found by audit/search/events.py in the tenant's "
        f"scope (row security on); each question {report.rounds} times, half of them as a first "
        f"page, half as a third one. One search in texts: {report.texts:,} texts of 2 KiB in "
        f"{report.texts_s:.1f} s."
    )
    if report.rows < FULL:
        said = f"**Fewer rows than the {FULL:,} of the aim.** {said}"
    head = ("question", "p50 / p95 ms", "aim ms", "rows")
    body = (
        (one.question, pair(one.p50_ms, one.p95_ms), str(one.aim_ms), f"{one.rows:.0f}")
        for one in report.questions
    )
    sizes = table(("index", "MiB"), ((n, f"{s:.0f}") for n, s in report.index_mib.items()))
    return f"{said}\n\n{table(head, body)}\n\n{sizes}"


def tell(text: Any) -> None:
    print(text, flush=True)


if __name__ == "__main__":
    main()
