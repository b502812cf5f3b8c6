"""python -m bench.parts.big_bodies: what long prompts cost, whom they hold.

The mock engine directly and through Forebay take turns, with prompts of 16 KB to 2 MB. Then a
second tenant sends small requests, alone and beside 16 clients that send 2 MB each.
"""

import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from bench.compare.comparison import TOKENS, Load, Row, Slice, measure, summary, tell
from bench.figures.statistics import difference, median
from bench.figures.tables import cell, pair, table
from bench.load.generator import LoadReport, Options
from bench.parts import apart
from bench.servers.forebay import Forebay
from bench.servers.targets import MODEL, MockEngine, Target, send

SIZES = {"16 KB": 16_000, "200 KB": 200_000, "2 MB": 2_000_000}
AT_ONCE = (1, 16)
CONTEXT = 1_000_000  # tokens: what cannot fit would be refused
LOADS = tuple(
    Load(f"{name} c={clients}", concurrency=clients, prompt_bytes=length)
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

    def small(self, when: str, metric: str) -> float | None:
        """Median over the rounds; `when`: alone, beside."""
        return median(getattr(getattr(one, when), metric) for one in self.beside)


def measured(rounds: int, seconds: float) -> BodiesReport:
    with tempfile.TemporaryDirectory(prefix="forebay-bench-") as folder:
        Path(folder).chmod(0o755)  # PostgreSQL may run as another user
        mock = MockEngine(Path(folder))
        try:
            engine = {
                "kind": "openai",
                "url": mock.url,
                "slots": 64,
                "context_length": CONTEXT,
            }
            forebay = Forebay(Path(folder), {MODEL: engine})
            try:
                mock.control(tokens=TOKENS, interval_ms=0, fail=None)
                report = BodiesReport(seconds, _rows(mock, forebay, rounds, seconds))
                report.beside += _beside(forebay, rounds, seconds)
                return report
            finally:
                forebay.stop()
        finally:
            mock.stop()


def _rows(mock: MockEngine, forebay: Forebay, rounds: int, seconds: float) -> list[Row]:
    slices: dict[tuple[str, str], list[Slice]] = {}
    targets = [mock.target(), forebay.target(MODEL)]
    for number in range(rounds):
        for load in LOADS:
            for target in targets if number % 2 == 0 else reversed(targets):
                tell(f"round {number + 1}/{rounds}: {load.name}, {target.name}")
                found = slices.setdefault((load.name, target.name), [])
                found.append(measure(target, load, seconds))
    return [summary(load, target, several) for (load, target), several in slices.items()]


# Whom they hold ----------------------------------------------------------------------------------
def _beside(forebay: Forebay, rounds: int, seconds: float) -> Iterator[Beside]:
    target, key = forebay.target(MODEL), forebay.key_of("small")
    long = max(seconds, 5.0)
    for number in range(rounds):
        tell(f"round {number + 1}/{rounds}: {SMALL_RATE} small requests a second")
        alone = send(_small(target, key, long))
        tell(f"round {number + 1}/{rounds}: the same beside 16 clients with 2 MB")
        with ThreadPoolExecutor(1) as thread:
            large = thread.submit(send, _large(target, long + 2))
            beside = send(_small(target, key, long))
            yield Beside(alone, beside, large.result())


def _small(target: Target, key: str, seconds: float) -> Options:
    return Options(
        target.url, key, target.model, False, rate=SMALL_RATE, seconds=seconds, warmup=1.0,
        max_tokens=TOKENS, tokens=TOKENS,
    )  # fmt: skip


def _large(target: Target, seconds: float) -> Options:
    return Options(
        target.url, target.key, target.model, False, concurrency=16, seconds=seconds,
        max_tokens=TOKENS, tokens=TOKENS, prompt_bytes=SIZES["2 MB"],
    )  # fmt: skip


# Tables ------------------------------------------------------------------------------------------
def section(report: BodiesReport) -> str:
    return "\n\n".join((latency_table(report), cpu_table(report), beside_table(report), METHOD))


def latency_table(report: BodiesReport) -> str:
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


def cpu_table(report: BodiesReport) -> str:
    rows = [report.row(load.name, "Forebay") for load in LOADS]
    body = [
        (row.load, *(cell(row.cpu_by_role.get(role)) for role in ROLES), cell(row.cpu_ms))
        for row in rows
    ]
    for clients in AT_ONCE:
        found = report.per_mb(clients)
        costs = (cell(found[role]) for role in ROLES)
        body.append((f"per MB, c={clients}", *costs, cell(sum(found.values()))))
    return "CPU ms per request:\n\n" + table(("prompt", *ROLES, "all"), body)


def beside_table(report: BodiesReport) -> str:
    def cells(when: str, name: str) -> tuple[str, ...]:
        slices: list[LoadReport] = [getattr(one, when) for one in report.beside]
        longest = max((one.max_ms for one in slices if one.max_ms is not None), default=None)
        return (
            name,
            cell(median(one.rps for one in slices)),
            pair(report.small(when, "p50_ms"), report.small(when, "p99_ms")),
            cell(longest),
            f"{sum(one.bad for one in slices)} / {sum(one.all for one in slices)}",
        )

    names = {"alone": "small, alone", "beside": "small, beside", "large": "16 clients with 2 MB"}
    head = ("", "requests/s", "p50 / p99 ms", "longest ms", "bad / all")
    return table(head, [cells(when, name) for when, name in names.items()])


def main() -> None:
    apart.run("bench.parts.big_bodies", measured, section, rounds=3, seconds=6.0)


if __name__ == "__main__":
    main()
