"""Messages and Responses beside chat completions: one Forebay on the mock engine, in turns."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from bench.compare.comparison import TOKENS, Comparison, Load, Row, compare
from bench.figures import Aim, cell, paragraphs, ratio, table
from bench.servers.forebay import forebay_on_mock_engine

WHOLE, STREAMS = "json c=64", "sse 2 ms c=64"
LOADS = (
    Load("json c=1", concurrency=1, interval_ms=0),
    Load(WHOLE, concurrency=64, interval_ms=0),
    Load(STREAMS, stream=True, concurrency=64),
)
CHAT, MESSAGES, RESPONSES = "chat completions", "Messages", "Responses"
STORED = "Responses, stored"
GENERATORS = {
    MESSAGES: "bench.load.messages",
    RESPONSES: "bench.load.responses",
    STORED: "bench.load.stored_responses",
}
LIMIT = 1.15  # times the CPU of chat completions
METHOD = f"""\
`POST /v1/messages`, `/v1/responses` (with `store` false and true) and `/v1/chat/completions` with
the same prompts, answers of {TOKENS} tokens from the mock engine, at once or with 2 ms between
them. CPU is that of all processes of the platform, per request."""


@dataclass(slots=True)
class MessagesReport:
    seconds: float
    rows: list[Row]


def measure(rounds: int, seconds: float) -> MessagesReport:
    with forebay_on_mock_engine() as (mock, forebay):
        chat = replace(forebay.target(), name=CHAT)
        others = [replace(chat, name=n, generator=module) for n, module in GENERATORS.items()]
        return MessagesReport(seconds, compare(mock, [chat, *others], rounds, seconds, LOADS))


def section(report: MessagesReport) -> str:
    head = ("", "", "requests/s", "p50 ms", "p99 ms", "CPU ms", "of it web", "bad")
    return paragraphs(table(head, map(_cells, report.rows)), METHOD)


def _cells(row: Row) -> tuple[str, ...]:
    figures = [row["rps"], row["p50_ms"], row["p99_ms"], row.cpu_ms, row.cpu_by_role.get("web")]
    return (row.load, row.target, *map(cell, figures), f"{row.bad} of {row.all}")


def aims(report: MessagesReport) -> Iterator[Aim]:
    figures = Comparison(report.rows)
    for load, what in ((WHOLE, "whole answers"), (STREAMS, "streams")):
        for name in (MESSAGES, RESPONSES):
            times = ratio(figures.cpu(load, name), figures.cpu(load, CHAT))
            text = f"{what}, 64 at once: CPU of {name} against chat completions"
            yield Aim(text, times, "x", LIMIT)
