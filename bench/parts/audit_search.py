"""The audit trail's search in ten million events, on a PostgreSQL of its own (some 6 GB).

Events are made by SQL over 200 days and looked for through the platform's own code
(audit/search/events.py), inside a tenant's scope with row security on, or as an operator over the
whole platform.
"""

import random
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from typing import Any
from uuid import UUID, uuid4

from bench.figures.aims import Aim, at_most
from bench.figures.progress import tell
from bench.figures.statistics import percentile
from bench.figures.tables import pair, table
from bench.parts.part import Part
from bench.servers.without_platform import django_on_own_servers

FULL = 10_000_000
DAYS, TENANTS, PEOPLE = 200, 50, 2_000
ROUNDS = 40  # how often each question is asked
TEXTS = 10_000


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


def measure(rows: int) -> SearchReport:
    with django_on_own_servers():
        return _measure(rows)


def _measure(number: int) -> SearchReport:
    from django.db import connection

    from bench.parts import audit_search_rows as rows

    rows.make(number, DAYS, TENANTS, PEOPLE)
    report = SearchReport(number, DAYS, TENANTS, PEOPLE, ROUNDS)
    for name, aim, ask in questions(DAYS):
        report.questions.append(timed(name, aim, ask, ROUNDS))
        tell(report.questions[-1])
    report.index_mib = rows.index_sizes()
    report.texts, report.texts_s = TEXTS, text_search(TEXTS)
    connection.close()
    return report


def questions(days: int) -> Iterator[tuple[str, int, Any]]:
    """Yields name, aim in ms, and a function that returns the tenant and filters of a round."""
    from django.utils import timezone

    from audit.search.events import Filters
    from bench.parts import audit_search_rows as rows

    draw, now = random.Random(11), timezone.now()
    busiest, middle, quiet = rows.tenants()
    people = {tenant: rows.people(tenant) for tenant in (busiest, middle, quiet)}

    def anybody(tenant: UUID) -> tuple[UUID, str, str]:
        """Returns a busy one as often as a quiet one."""
        return draw.choice(people[tenant][:5] if draw.random() < 0.5 else people[tenant])

    def ranged(span: int) -> dict[str, Any]:
        since = now - timedelta(days=draw.uniform(span, days))
        return {"since": since, "until": since + timedelta(days=span)}

    def in_range(span: int) -> tuple[UUID, Any]:
        tenant = draw.choice([busiest, middle, quiet])
        return tenant, Filters(subject_id=anybody(tenant)[0], **ranged(span))

    for span in (1, 7, 30):
        yield f"user + {span} days", 100, partial(in_range, span)
    for name, fields in (
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
        yield f"busiest tenant: {name}", 300, lambda f=fields: (busiest, Filters(**f()))
        if name in ("everything", "a rare model", "one action", "network"):
            yield f"quietest tenant: {name}", 300, lambda f=fields: (quiet, Filters(**f()))
    for name, fields in (
        ("everything", dict),
        ("key", lambda: {"actors": (anybody(busiest)[1],)}),
        ("network", lambda: {"net": anybody(busiest)[2]}),
        ("status 502", lambda: {"status": 502}),
        ("actions, without requests", lambda: {"acts": True}),
        ("a model that nobody used", lambda: {"model": "none"}),
        ("request id", lambda: {"request_id": UUID(int=draw.randrange(4_000_000))}),
    ):
        yield f"whole platform: {name}", 300, lambda f=fields: (None, Filters(**f()))


def timed(name: str, aim: int, ask: Any, rounds: int) -> Timing:
    """Time the first page, and every other time the third one."""
    from audit.search.events import page
    from tenants.scope import system_scope, tenant_scope

    times, row_counts = [], []
    for number in range(rounds):
        tenant, filters = ask()
        cursor = ""
        with tenant_scope(tenant) if tenant else system_scope():
            for _ in range(2 if number % 2 else 0):
                cursor = page(tenant, filters, cursor).older or ""
            started = time.perf_counter()
            answer = page(tenant, filters, cursor)
            times.append((time.perf_counter() - started) * 1000)
            row_counts.append(len(answer.rows))
    ordered = sorted(times)
    p50, p95 = percentile(ordered, 50) or 0, percentile(ordered, 95) or 0
    return Timing(name, round(p50, 2), round(p95, 2), sum(row_counts) / rounds, aim)


def text_search(texts: int) -> float:
    """Returns the seconds to open and look through as many texts of 2 KiB as one search may."""
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
    text = (
        f"{report.rows:,} events of {report.tenants} tenants and {report.people:,} people of very "
        f"unequal size over {report.days} days, found by audit/search/events.py in the tenant's "
        f"scope (row security on); each question {report.rounds} times, half of them as a first "
        f"page, half as a third one. One search in texts: {report.texts:,} texts of 2 KiB in "
        f"{report.texts_s:.1f} s."
    )
    if report.rows < FULL:
        text = f"**Fewer rows than the {FULL:,} of the aim.** {text}"
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
        yield at_most(text, slowest.p95_ms, "ms", limit)


PART = Part(
    title="Search in the audit trail",
    report=SearchReport,
    measure=measure,
    section=section,
    full={"rows": FULL},
    quick={"rows": 500_000},
    aims=aims,
)
