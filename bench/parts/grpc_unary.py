"""Whole answers over gRPC beside REST: one Forebay on the mock engine, the front ends in turns."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from bench.compare.comparison import TOKENS, Load, Row, compare
from bench.figures.aims import Aim, at_least
from bench.figures.statistics import ratio
from bench.figures.tables import cell, paragraphs, table
from bench.parts.part import Part, timed
from bench.servers.on_mock_engine import forebay_on_mock_engine
from bench.servers.targets import MODEL

LOADS = tuple(Load(f"c={clients}", concurrency=clients, interval_ms=0) for clients in (1, 64))
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


def measure(rounds: int, seconds: float) -> GrpcReport:
    with forebay_on_mock_engine(grpc=True) as (mock, forebay):
        rest = replace(forebay.target(MODEL), name=REST)
        url = f"http://127.0.0.1:{forebay.grpc_port}"
        grpc = replace(rest, name=GRPC, url=url, generator="bench.load.grpc")
        return GrpcReport(seconds, compare(mock, [rest, grpc], rounds, seconds, LOADS))


def section(report: GrpcReport) -> str:
    head = ("", "", "requests/s", "p50 ms", "p99 ms", "CPU ms", "of it web", "of it gRPC", "bad")
    return paragraphs(table(head, map(_cells, report.rows)), METHOD)


def _cells(row: Row) -> tuple[str, ...]:
    figures = [row["rps"], row["p50_ms"], row["p99_ms"], row.cpu_ms]
    figures += [row.cpu_by_role.get("web"), row.cpu_by_role.get("grpc")]
    return (row.load, row.target, *map(cell, figures), f"{row.bad} of {row.all}")


def aims(report: GrpcReport) -> Iterator[Aim]:
    text = "whole answers, 64 at once: gRPC's requests/s against our REST"
    yield at_least(text, report.times("c=64"), "x", 1.2)


PART = Part("gRPC beside REST", GrpcReport, measure, section, timed(3, 4.0), timed(1, 2.0), aims)
