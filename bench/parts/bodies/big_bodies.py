"""The cost of long prompts, and the wait of another tenant's small requests beside them."""

from collections import defaultdict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any

from bench.compare.comparison import TOKENS, Comparison, Load, Row, compare, summary
from bench.figures import Aim, cell, complaints, difference, pair, paragraphs, table, tell
from bench.load.generator import LoadReport
from bench.servers.forebay import Forebay, forebay_on_mock_engine
from bench.servers.targets import send

SIZES = {"16 KB": 16_000, "200 KB": 200_000, "2 MB": 2_000_000}
AT_ONCE = (1, 16)
CONTEXT = 1_000_000  # tokens: what cannot fit would be refused
LOADS = tuple(
    Load(f"{name} c={clients}", concurrency=clients, prompt_bytes=length, interval_ms=0)
    for name, length in SIZES.items()
    for clients in AT_ONCE
)
SMALL_RATE = 20
ROLES = ("web", "worker", "postgres", "valkey")
METHOD = f"""\
`POST /v1/chat/completions` with one message of so many bytes and an answer of {TOKENS} tokens from
the mock engine, without a pause between them. CPU is that of all processes of the platform. The
last lines of the second table divide what a request of 2 MB takes more than one of 16 KB by the
bytes between them. The small requests are sent {SMALL_RATE} times a second by another tenant;
their time counts from the scheduled moment."""
ALONE, BESIDE, LARGE = "small, alone", "small, beside", "16 clients with 2 MB"


@dataclass(slots=True)
class BodiesReport:
    seconds: float
    rows: list[Row]
    beside: list[Row] = field(default_factory=list)  # the small requests, and the large ones

    def per_mb(self, clients: int) -> dict[str, float]:
        """CPU milliseconds by role: what a MB costs, without what each request does."""
        rows = Comparison(self.rows).rows
        small, large = (rows[f"{size} c={clients}", "Forebay"] for size in ("16 KB", "2 MB"))
        megabytes = (SIZES["2 MB"] - SIZES["16 KB"]) / 1_000_000
        return {
            role: (large.cpu_by_role.get(role, 0.0) - small.cpu_by_role.get(role, 0.0)) / megabytes
            for role in ROLES
        }


def measure(rounds: int, seconds: float) -> BodiesReport:
    with forebay_on_mock_engine(context_length=CONTEXT) as (mock, forebay):
        rows = compare(mock, [mock.target(), forebay.target()], rounds, seconds, LOADS)
        return BodiesReport(seconds, rows, _beside(forebay, rounds, max(seconds, 5.0)))


def _beside(forebay: Forebay, rounds: int, seconds: float) -> list[Row]:
    target, small_target = forebay.target(), replace(forebay.target(), key=forebay.key_of("small"))
    tokens: dict[str, Any] = {"max_tokens": TOKENS, "tokens": TOKENS}
    small = small_target.options(rate=SMALL_RATE, seconds=seconds, warmup=1.0, **tokens)
    length = SIZES["2 MB"]
    large = target.options(concurrency=16, seconds=seconds + 2, prompt_bytes=length, **tokens)
    slices: dict[str, list[LoadReport]] = defaultdict(list)
    for number in range(rounds):
        tell(f"round {number + 1}/{rounds}: {SMALL_RATE} small requests a second")
        slices[ALONE].append(send(small))
        tell(f"round {number + 1}/{rounds}: the same beside 16 clients with 2 MB")
        with ThreadPoolExecutor(1) as thread:
            large_load = thread.submit(send, large)
            slices[BESIDE].append(send(small))
            slices[LARGE].append(large_load.result())
    return [summary(name, "Forebay", several) for name, several in slices.items()]


def section(report: BodiesReport) -> str:
    wrong = complaints(
        f"{row.target}, {row.load}: {line}" for row in report.rows for line in row.wrong
    )
    tables = (_latency_table(report), _cpu_table(report), _beside_table(report))
    return paragraphs(*tables, wrong, METHOD)


def _latency_table(report: BodiesReport) -> str:
    head = ("prompt", "requests/s", "MB/s", "p50 / p99 ms", "direct", "added", "bad / all")
    figures = Comparison(report.rows)

    def cells(load: Load) -> tuple[str, ...]:
        row, direct = (figures.rows[load.name, target] for target in ("Forebay", "direct"))
        rate = row["rps"]
        return (
            load.name,
            cell(rate),
            cell(rate and rate * load.prompt_bytes / 1_000_000),
            pair(row["p50_ms"], row["p99_ms"]),
            pair(direct["p50_ms"], direct["p99_ms"]),
            pair(figures.added(load.name, "p50_ms"), figures.added(load.name, "p99_ms")),
            f"{row.bad} / {row.all}",
        )

    return table(head, map(cells, LOADS))


def _cpu_table(report: BodiesReport) -> str:
    body = [
        (row.load, *(cell(row.cpu_by_role.get(role)) for role in ROLES), cell(row.cpu_ms))
        for row in report.rows
        if row.target == "Forebay"
    ]
    for clients in AT_ONCE:
        costs = report.per_mb(clients).values()
        body.append((f"per MB, c={clients}", *map(cell, costs), cell(sum(costs))))
    return "CPU ms per request:\n\n" + table(("prompt", *ROLES, "all"), body)


def _beside_table(report: BodiesReport) -> str:
    def cells(row: Row) -> tuple[str, ...]:
        longest = max((each["max_ms"] for each in row.rounds if each["max_ms"]), default=None)
        latency = pair(row["p50_ms"], row["p99_ms"])
        return (row.load, cell(row["rps"]), latency, cell(longest), f"{row.bad} / {row.all}")

    head = ("", "requests/s", "p50 / p99 ms", "longest ms", "bad / all")
    return table(head, map(cells, report.beside))


def aims(report: BodiesReport) -> Iterator[Aim]:
    refused = float(sum(row.bad for row in report.rows if row.target == "Forebay"))
    yield Aim("prompts of 16 KB to 2 MB, 1 and 16 at once: refused", refused, "", 0)
    beside = Comparison(report.beside)
    more = difference(beside.metric(BESIDE, "p99_ms"), beside.metric(ALONE, "p99_ms"))
    yield Aim("small requests beside 16 clients with 2 MB: p99 more by", more, "ms", 300)
