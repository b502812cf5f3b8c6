"""Forebay beside a bare program with the same promises: what of a request's cost is theirs."""

from collections.abc import Iterator
from dataclasses import dataclass

from bench.compare.comparison import (
    IN_STEP,
    JSON_64,
    JSON_200,
    LOADS,
    ONE_JSON,
    STREAMS_32,
    STREAMS_64,
    TOKENS,
    Load,
    Row,
    compare,
)
from bench.figures import Aim, cell, paragraphs, table
from bench.servers import floor
from bench.servers.child import temporary_folder
from bench.servers.forebay import forebay_on_mock_engine

CHOSEN = (ONE_JSON, JSON_200, JSON_64, STREAMS_64, STREAMS_32, IN_STEP)
JSON_50 = Load("json 50/s", rate=50)  # as decisions come
ROLES = ("web", "worker", "postgres", "valkey")
HEAD = (
    *("", "", "requests/s", "p50 / p99 ms", "first token p50 ms", "CPU ms"),
    *(f"of it {role}" for role in ROLES),
    "bad",
)
METHOD = f"""\
The bare program (`bench/servers/floor/`) takes a chat, records the encrypted prompt durably, puts
it into a queue in Valkey, has a worker ask the engine, records the encrypted answer durably, and
passes it on: in the same language, with the same libraries and servers, in group commits. It has
one tenant, no fairness, no roles, no metrics and no handling of errors. Answers have {TOKENS}
tokens. CPU is that of all processes, per request."""


@dataclass(slots=True)
class FloorReport:
    seconds: float
    rows: list[Row]


def measure(rounds: int, seconds: float) -> FloorReport:
    loads = [*(load for load in LOADS if load.name in CHOSEN), JSON_50]
    with (
        forebay_on_mock_engine() as (mock, forebay),
        temporary_folder() as folder,
        floor.running(mock, folder) as bare,
    ):
        targets = [mock.target(), bare, forebay.target()]
        return FloorReport(seconds, compare(mock, targets, rounds, seconds, loads))


def section(report: FloorReport) -> str:
    return paragraphs(table(HEAD, map(_cells, report.rows)), METHOD)


def _cells(row: Row) -> tuple[str, ...]:
    times = f"{cell(row['p50_ms'])} / {cell(row['p99_ms'])}"
    shares = [cell(row.cpu_by_role.get(role)) for role in ROLES]
    figures = (cell(row["rps"]), times, cell(row["ttft_p50_ms"]), cell(row.cpu_ms))
    return (row.load, row.target, *figures, *shares, f"{row.bad} of {row.all}")


def aims(report: FloorReport) -> Iterator[Aim]:
    """None: the bare program is what aims are judged by."""
    del report
    yield from ()
