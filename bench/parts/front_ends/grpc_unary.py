"""Whole answers over gRPC beside REST: one Forebay on the mock engine, the front ends in turns.

Beside them what their libraries take alone: a uvicorn and a grpc.aio server with nothing behind it.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from bench.compare.comparison import TOKENS, Comparison, Load, Row, compare
from bench.figures import Aim, cell, paragraphs, table
from bench.servers import bare
from bench.servers.child import temporary_folder
from bench.servers.forebay import forebay_on_mock_engine

LOADS = tuple(Load(f"c={clients}", concurrency=clients, interval_ms=0) for clients in (1, 64))
REST, GRPC = "REST", "gRPC"
HEAD = (
    *("", "", "requests/s", "p50 ms", "p99 ms", "CPU ms", "of it web", "of it gRPC"),
    *("generator's CPU ms", "bad"),
)
METHOD = f"""\
`POST /v1/chat/completions` and `InferenceService.Chat` with the same messages, answers of {TOKENS}
tokens from the mock engine without a pause between them. REST has a connection for each client,
gRPC one for all. CPU is that of all processes of the platform, per request. The bare ones are
uvicorn and grpc.aio with a fixed answer: what the libraries alone take of each request. The load
generator shares the cores, so its own CPU stands beside."""


@dataclass(slots=True)
class GrpcReport:
    seconds: float
    rows: list[Row]


def measure(rounds: int, seconds: float) -> GrpcReport:
    with (
        forebay_on_mock_engine(grpc=True) as (mock, forebay),
        temporary_folder() as folder,
        bare.running(bare.REST, folder) as bare_rest,
        bare.running(bare.GRPC, folder) as bare_grpc,
    ):
        rest = replace(forebay.target(), name=REST)
        url = f"http://127.0.0.1:{forebay.grpc_port}"
        grpc = replace(rest, name=GRPC, url=url, generator="bench.load.grpc")
        targets = [rest, grpc, bare_rest, bare_grpc]
        return GrpcReport(seconds, compare(mock, targets, rounds, seconds, LOADS))


def section(report: GrpcReport) -> str:
    return paragraphs(table(HEAD, map(_cells, report.rows)), METHOD)


def _cells(row: Row) -> tuple[str, ...]:
    figures = [row["rps"], row["p50_ms"], row["p99_ms"], row.cpu_ms]
    figures += [row.cpu_by_role.get("web"), row.cpu_by_role.get("grpc")]
    figures.append(row["generator_cpu_ms"])
    return (row.load, row.target, *map(cell, figures), f"{row.bad} of {row.all}")


def aims(report: GrpcReport) -> Iterator[Aim]:
    times = Comparison(report.rows).times("c=64", "rps", GRPC, REST)
    text = "whole answers, 64 at once: gRPC's requests/s against our REST"
    yield Aim(text, times, "x", 1.2, at_least=True)
