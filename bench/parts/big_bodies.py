"""The cost of long prompts, and the wait of small requests beside them.

The mock engine directly and through Forebay take turns, with prompts of 16 KB to 2 MB. Then a
second tenant sends small requests, alone and beside 16 clients that send 2 MB each.
"""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace

from bench.compare.comparison import TOKENS, Load, Row, compare
from bench.figures.aims import Aim, at_most
from bench.figures.progress import tell
from bench.figures.statistics import difference, median
from bench.figures.tables import cell, complaints, pair, paragraphs, table
from bench.load.generator import LoadReport
from bench.parts.part import Part, timed
from bench.servers.forebay import Forebay
from bench.servers.on_mock_engine import forebay_on_mock_engine
from bench.servers.targets import MODEL, send

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


@dataclass(slots=True)
class Beside:
    """The small requests of one round: alone, and beside the large ones."""

    alone: LoadReport
    beside: LoadReport
    large: LoadReport


@dataclass(slots=True)
class BodiesReport:
    seconds: float
    rows: list[Row]
    beside: list[Beside] = field(default_factory=list)

    def row(self, load: str, target: str) -> Row:
        return next(row for row in self.rows if (row.load, row.target) == (load, target))

    def added(self, load: str, metric: str) -> float | None:
        return difference(self.row(load, "Forebay")[metric], self.row(load, "direct")[metric])

    def per_mb(self, clients: int) -> dict[str, float]:
        """CPU milliseconds by role: what a MB costs, without what each request does."""
        small, large = (self.row(f"{size} c={clients}", "Forebay") for size in ("16 KB", "2 MB"))
        megabytes = (SIZES["2 MB"] - SIZES["16 KB"]) / 1_000_000
        return {
            role: (large.cpu_by_role.get(role, 0.0) - small.cpu_by_role.get(role, 0.0)) / megabytes
            for role in ROLES
        }

    def small(self, column: str, metric: str) -> float | None:
        """The median over the rounds; `column` is alone, beside or large."""
        return median(getattr(getattr(one, column), metric) for one in self.beside)


def measure(rounds: int, seconds: float) -> BodiesReport:
    with forebay_on_mock_engine(context_length=CONTEXT) as (mock, forebay):
        targets = [mock.target(), forebay.target(MODEL)]
        report = BodiesReport(seconds, compare(mock, targets, rounds, seconds, LOADS))
        report.beside += _beside(forebay, rounds, seconds)
        return report


def _beside(forebay: Forebay, rounds: int, seconds: float) -> Iterator[Beside]:
    target, key = forebay.target(MODEL), forebay.key_of("small")
    seconds = max(seconds, 5.0)
    small = replace(target, key=key).options(
        stream=False, rate=SMALL_RATE, seconds=seconds, warmup=1.0, max_tokens=TOKENS,
        tokens=TOKENS,
    )  # fmt: skip
    large = target.options(
        stream=False, concurrency=16, seconds=seconds + 2, max_tokens=TOKENS, tokens=TOKENS,
        prompt_bytes=SIZES["2 MB"],
    )  # fmt: skip
    for number in range(rounds):
        tell(f"round {number + 1}/{rounds}: {SMALL_RATE} small requests a second")
        alone = send(small)
        tell(f"round {number + 1}/{rounds}: the same beside 16 clients with 2 MB")
        with ThreadPoolExecutor(1) as thread:
            large_load = thread.submit(send, large)
            yield Beside(alone, send(small), large_load.result())


def section(report: BodiesReport) -> str:
    wrong = complaints(
        f"{row.target}, {row.load}: {line}" for row in report.rows for line in row.wrong
    )
    tables = (_latency_table(report), _cpu_table(report), _beside_table(report))
    return paragraphs(*tables, wrong, METHOD)


def _latency_table(report: BodiesReport) -> str:
    head = ("prompt", "requests/s", "MB/s", "p50 / p99 ms", "direct", "added", "bad / all")

    def cells(load: Load) -> tuple[str, ...]:
        row, direct = report.row(load.name, "Forebay"), report.row(load.name, "direct")
        rate = row["rps"]
        return (
            load.name,
            cell(rate),
            cell(rate and rate * load.prompt_bytes / 1_000_000),
            pair(row["p50_ms"], row["p99_ms"]),
            pair(direct["p50_ms"], direct["p99_ms"]),
            pair(report.added(load.name, "p50_ms"), report.added(load.name, "p99_ms")),
            f"{row.bad} / {row.all}",
        )

    return table(head, map(cells, LOADS))


def _cpu_table(report: BodiesReport) -> str:
    rows = [report.row(load.name, "Forebay") for load in LOADS]
    body = [
        (row.load, *(cell(row.cpu_by_role.get(role)) for role in ROLES), cell(row.cpu_ms))
        for row in rows
    ]
    for clients in AT_ONCE:
        by_role = report.per_mb(clients)
        costs = (cell(by_role[role]) for role in ROLES)
        body.append((f"per MB, c={clients}", *costs, cell(sum(by_role.values()))))
    return "CPU ms per request:\n\n" + table(("prompt", *ROLES, "all"), body)


def _beside_table(report: BodiesReport) -> str:
    def cells(column: str, name: str) -> tuple[str, ...]:
        slices: list[LoadReport] = [getattr(one, column) for one in report.beside]
        longest = max((one.max_ms for one in slices if one.max_ms is not None), default=None)
        return (
            name,
            cell(median(one.rps for one in slices)),
            pair(report.small(column, "p50_ms"), report.small(column, "p99_ms")),
            cell(longest),
            f"{sum(one.bad for one in slices)} / {sum(one.all for one in slices)}",
        )

    names = {"alone": "small, alone", "beside": "small, beside", "large": "16 clients with 2 MB"}
    head = ("", "requests/s", "p50 / p99 ms", "longest ms", "bad / all")
    return table(head, [cells(column, name) for column, name in names.items()])


def aims(report: BodiesReport) -> Iterator[Aim]:
    refused = float(sum(row.bad for row in report.rows if row.target == "Forebay"))
    yield at_most("prompts of 16 KB to 2 MB, 1 and 16 at once: refused", refused, "", 0)
    more = difference(report.small("beside", "p99_ms"), report.small("alone", "p99_ms"))
    yield at_most("small requests beside 16 clients with 2 MB: p99 more by", more, "ms", 300)


PART = Part("Long prompts", BodiesReport, measure, section, timed(3, 4.0), timed(1, 2.0), aims)
