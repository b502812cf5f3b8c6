"""python -m bench.parts.usage [--rows N]: the usage pages with ten million usage rows behind them.

Own PostgreSQL and Valkey in a temporary folder, which is removed afterwards (some 6 GB). Rows are
made by SQL in the order of time, rolled up by the platform's own job, and looked at through
Django's test client as a tenant's owner and as an operator.
"""

import argparse
import json
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from bench.figures.tables import cell, pair, table
from bench.servers.without_platform import django_on_own_servers

FULL = 10_000_000


def read_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.parts.usage")
    parser.add_argument("--rows", type=int, default=FULL)
    parser.add_argument("--tenants", type=int, default=50)
    parser.add_argument("--keys", type=int, default=4, help="of each tenant")
    parser.add_argument("--models", type=int, default=3)
    parser.add_argument("--days", type=int, default=90)
    parser.add_argument("--rounds", type=int, default=20, help="how often each page is asked for")
    parser.add_argument("--json", type=Path, help="where to write the figures")
    return parser.parse_args()


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


def main() -> None:
    options = read_options()
    with django_on_own_servers():
        report = measured(options)
    tell(section(report))
    if options.json:
        options.json.write_text(json.dumps(asdict(report), indent=2))


def measured(options: argparse.Namespace) -> UsageReport:
    from django.db import connection

    from bench.parts import usage_rows, usage_visits
    from inference.models import UsageDay, UsageHour

    people = usage_rows.tenants(options.tenants, options.keys)
    usage_rows.make(options.rows, options.days, options.models)
    rows, speed = rolled_up()
    with connection.cursor() as cursor:
        cursor.execute("vacuum analyze inference_usagehour, inference_usageday")
    hours, days = UsageHour.objects.count(), UsageDay.objects.count()
    asked = options.tenants, options.days, options.rounds
    report = UsageReport(rows, *asked, hours, days, speed)
    report.bytes_per_row = usage_rows.bytes_per_row(report.hours, report.days)
    report.pages = usage_visits.visited(people, options.rounds)
    connection.close()
    return report


def rolled_up() -> tuple[int, float]:
    """All of them, as the job does it; and rows a second."""
    from inference.usage import rollup

    rows, started = 0, time.monotonic()
    while more := rollup.roll_up():
        rows += more
        tell(f"{rows:,} rows rolled up in {time.monotonic() - started:.0f} s")
    return rows, rows / (time.monotonic() - started)


def section(report: UsageReport) -> str:
    sizes = ", ".join(f"{size:.0f} in {name}" for name, size in report.bytes_per_row.items())
    said = (
        f"{report.rows:,} usage rows of {report.tenants} tenants of very unequal size over "
        f"{report.over_days} days, rolled up by the platform's own job at "
        f"{report.roll_up_rows_per_s:,.0f} rows/s into {report.hours:,} hours and "
        f"{report.days:,} days. Bytes per row with indexes: {sizes}. Each page was asked for "
        f"{report.rounds} times through Django's test client: middleware, queries, template."
    )
    if report.rows < FULL:
        said = f"**Fewer rows than the {FULL:,} of the aim.** {said}"
    head = ("page", "p50 / p95 ms", "its SQL p50 ms", "queries", "KiB")
    body = (
        (one.page, pair(one.p50, one.p95), cell(one.sql_p50), str(one.queries), cell(one.kib))
        for one in report.pages
    )
    return f"{said}\n\n{table(head, body)}"


def tell(text: Any) -> None:
    print(text, flush=True)


if __name__ == "__main__":
    main()
