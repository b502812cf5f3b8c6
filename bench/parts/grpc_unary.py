"""python -m bench.parts.grpc_unary: whole answers over gRPC beside our REST.

The mock engine and one Forebay with both front ends, as `make run` starts it; the two take turns.
"""

import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

from bench.compare.comparison import TOKENS, Load, Row, Slice, measure, summary, tell
from bench.figures.statistics import ratio
from bench.figures.tables import cell, table
from bench.parts import apart
from bench.servers.forebay import Forebay
from bench.servers.targets import MODEL, MockEngine, Target

LOADS = (Load("c=1", concurrency=1), Load("c=64", concurrency=64))
REST, GRPC = "REST", "gRPC"
METHOD = f"""\
`POST /v1/chat/completions` and `InferenceService.Chat` with the same messages, answers of {TOKENS}
tokens from the mock engine without a pause between them. REST has a connection for each client,
gRPC one for all. CPU is that of all processes of the platform, per request."""


@dataclass(slots=True)
class GrpcReport:
    seconds: float
    rows: list[Row]

    def row(self, load: str, target: str) -> Row:
        return next(row for row in self.rows if (row.load, row.target) == (load, target))

    def times(self, load: str) -> float | None:
        """Requests a second over gRPC, as a multiple of REST's."""
        return ratio(self.row(load, GRPC)["rps"], self.row(load, REST)["rps"])


def measured(rounds: int, seconds: float) -> GrpcReport:
    with tempfile.TemporaryDirectory(prefix="forebay-bench-") as folder:
        Path(folder).chmod(0o755)  # PostgreSQL may run as another user
        mock = MockEngine(Path(folder))
        try:
            engine = {"kind": "openai", "url": mock.url, "slots": 64}
            forebay = Forebay(Path(folder), {MODEL: engine}, grpc=True)
            try:
                mock.control(tokens=TOKENS, interval_ms=0, fail=None)
                return GrpcReport(seconds, _rows(forebay, rounds, seconds))
            finally:
                forebay.stop()
        finally:
            mock.stop()


def _rows(forebay: Forebay, rounds: int, seconds: float) -> list[Row]:
    slices: dict[tuple[str, str], list[Slice]] = {}
    targets = _targets(forebay)
    for number in range(rounds):
        for load in LOADS:
            for target in targets if number % 2 == 0 else reversed(targets):
                tell(f"round {number + 1}/{rounds}: {load.name}, {target.name}")
                found = slices.setdefault((load.name, target.name), [])
                found.append(measure(target, load, seconds))
    return [summary(load, target, several) for (load, target), several in slices.items()]


def _targets(forebay: Forebay) -> list[Target]:
    rest = replace(forebay.target(MODEL), name=REST)
    url = f"http://127.0.0.1:{forebay.grpc_port}"
    return [rest, replace(rest, name=GRPC, url=url, generator="bench.load.grpc")]


def section(report: GrpcReport) -> str:
    head = ("", "", "requests/s", "p50 ms", "p99 ms", "CPU ms", "of it web", "of it gRPC", "bad")
    return f"{table(head, map(_cells, report.rows))}\n\n{METHOD}"


def _cells(row: Row) -> tuple[str, ...]:
    figures = [row["rps"], row["p50_ms"], row["p99_ms"], row.cpu_ms]
    figures += [row.cpu_by_role.get("web"), row.cpu_by_role.get("grpc")]
    return (row.load, row.target, *map(cell, figures), f"{row.bad} of {row.all}")


def main() -> None:
    apart.run("bench.parts.grpc_unary", measured, section, rounds=5, seconds=6.0)


if __name__ == "__main__":
    main()
