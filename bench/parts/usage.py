"""The usage pages with ten million usage rows behind them, on servers of their own (some 6 GB).

Rows are made by SQL in the order of time, rolled up by the platform's own job, and looked at
through Django's test client as a tenant's owner and as an operator.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass, field

from bench.figures.aims import Aim, at_most
from bench.figures.progress import tell
from bench.figures.tables import cell, pair, table
from bench.parts.part import Part
from bench.servers.without_platform import django_on_own_servers

FULL = 10_000_000
TENANTS, DAYS = 50, 90
KEYS = 4  # of each tenant
MODELS = 3
ROUNDS = 20  # how often each page is asked for


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
    bytes_per_row: dict[str, float] = field(default_factory=dict)
    pages: list[Timing] = field(default_factory=list)


def measure(rows: int) -> UsageReport:
    with django_on_own_servers():
        return _measure(rows)


def _measure(rows: int) -> UsageReport:
    from django.db import connection

    from bench.parts import usage_rows, usage_visits
    from inference.models import UsageDay, UsageHour

    owners = usage_rows.tenants(TENANTS, KEYS)
    usage_rows.make(rows, DAYS, MODELS)
    rows, speed = _roll_up()
    with connection.cursor() as cursor:
        cursor.execute("vacuum analyze inference_usagehour, inference_usageday")
    hours, days = UsageHour.objects.count(), UsageDay.objects.count()
    report = UsageReport(rows, TENANTS, DAYS, ROUNDS, hours, days, speed)
    report.bytes_per_row = usage_rows.bytes_per_row(hours, days)
    report.pages = [Timing(**times) for times in usage_visits.times(owners, ROUNDS)]
    connection.close()
    return report


def _roll_up() -> tuple[int, float]:
    """Roll up all rows, as the job does; returns their number, and rows a second."""
    from inference.usage import rollup

    rows, started = 0, time.monotonic()
    while more := rollup.roll_up():
        rows += more
        tell(f"{rows:,} rows rolled up in {time.monotonic() - started:.0f} s")
    return rows, rows / (time.monotonic() - started)


def section(report: UsageReport) -> str:
    sizes = ", ".join(f"{size:.0f} in {name}" for name, size in report.bytes_per_row.items())
    text = (
        f"{report.rows:,} usage rows of {report.tenants} tenants of very unequal size over "
        f"{report.over_days} days, rolled up by the platform's own job at "
        f"{report.roll_up_rows_per_s:,.0f} rows/s into {report.hours:,} hours and "
        f"{report.days:,} days. Bytes per row with indexes: {sizes}. Each page was asked for "
        f"{report.rounds} times through Django's test client: middleware, queries, template."
    )
    if report.rows < FULL:
        text = f"**Fewer rows than the {FULL:,} of the aim.** {text}"
    head = ("page", "p50 / p95 ms", "its SQL p50 ms", "queries", "KiB")
    body = (
        (one.page, pair(one.p50, one.p95), cell(one.sql_p50), str(one.queries), cell(one.kib))
        for one in report.pages
    )
    return f"{text}\n\n{table(head, body)}"


def aims(report: UsageReport) -> Iterator[Aim]:
    slowest = max(report.pages, key=lambda page: page.p95)
    text = f"slowest usage page with {report.rows:,} rows behind it ({slowest.page}), p95"
    yield at_most(text, slowest.p95, "ms", 1000)


PART = Part(
    title="Usage pages",
    report=UsageReport,
    measure=measure,
    section=section,
    full={"rows": FULL},
    quick={"rows": 500_000},
    aims=aims,
)
