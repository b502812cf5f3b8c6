"""The time until an engine has a request, which says in its prompt when it was sent."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from bench.compare.comparison import Row, summary
from bench.figures import Aim, cell, paragraphs, table, tell
from bench.load.generator import LoadReport
from bench.servers.forebay import forebay_on_mock_engine
from bench.servers.targets import send

RATE, TOKENS = 200, 8
WARMUP_S = 1.5
METHOD = f"""\
{RATE} JSON requests/s at even distances, medians over the rounds. The time is from the client's
write until the mock engine has read the request (both on one clock): it holds HTTP, key, limits,
the record in PostgreSQL, queue and runner. "Direct" is what client and engine take alone."""


DIRECT, THROUGH = "direct", "through Forebay"


@dataclass(slots=True)
class DispatchReport:
    rounds: int
    seconds: float
    rows: list[Row]  # directly, and through Forebay


def measure(rounds: int, seconds: float) -> DispatchReport:
    slices: dict[str, list[LoadReport]] = {DIRECT: [], THROUGH: []}
    with forebay_on_mock_engine() as (mock, forebay):
        mock.control(tokens=TOKENS, interval_ms=0, stamped=True)
        for number in range(rounds):
            tell(f"dispatch round {number + 1}/{rounds}")
            for name, target in ((DIRECT, mock.target()), (THROUGH, forebay.target())):
                options = target.options(
                    rate=RATE, seconds=seconds, warmup=0.0, tokens=TOKENS, max_tokens=TOKENS
                )
                send(replace(options, seconds=WARMUP_S))
                slices[name].append(mock.send_stamped(options))
    rows = [summary(f"{RATE}/s", name, several) for name, several in slices.items()]
    return DispatchReport(rounds, seconds, rows)


def section(report: DispatchReport) -> str:
    head = ("until the engine has it", "p50 ms", "p99 ms", "requests", "bad")
    rows = (
        (
            row.target,
            cell(row["engine_p50_ms"]),
            cell(row["engine_p99_ms"]),
            f"{row.all:,}",
            f"{row.bad:,}",
        )
        for row in report.rows
    )
    return paragraphs(table(head, rows), METHOD)


def aims(report: DispatchReport) -> Iterator[Aim]:
    _, through = report.rows
    for name, limit in (("p50", 5), ("p99", 20)):
        text = f"{RATE} requests/s: from the client until the engine has it, {name}"
        yield Aim(text, through[f"engine_{name}_ms"], "ms", limit)
