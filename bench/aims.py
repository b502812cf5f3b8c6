"""What the figures should reach, and whether they did."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from bench.admission import RATE, SETTINGS, AdmissionReport
from bench.audit import RATE as AUDIT_RATE
from bench.audit import AuditReport
from bench.audit_search import SearchReport
from bench.audit_verify import VerifyReport
from bench.big_bodies import BodiesReport
from bench.compare import Row
from bench.engine import EngineRow
from bench.figures import difference, ratio
from bench.grpc_unary import GrpcReport
from bench.memory import MemoryReport
from bench.usage import UsageReport

FLAT_BYTES_PER_REQUEST = 200


@dataclass(slots=True)
class Aim:
    """`met` is None where it was not measured."""

    text: str
    value: float | None
    unit: str
    limit: float
    at_least: bool

    @property
    def met(self) -> bool | None:
        if self.value is None:
            return None
        return self.value >= self.limit if self.at_least else self.value <= self.limit


def of_comparison(rows: Sequence[Row]) -> Iterator[Aim]:
    found = {(row.load, row.target): row for row in rows}

    def metric(load: str, target: str, name: str) -> float | None:
        row = found.get((load, target))
        return row[name] if row is not None else None

    def added(load: str, name: str) -> float | None:
        return difference(metric(load, "Forebay", name), metric(load, "direct", name))

    yield at_most("one JSON request alone: added p50", added("json c=1", "p50_ms"), "ms", 4)
    yield at_most("one JSON request alone: added p99", added("json c=1", "p99_ms"), "ms", 10)
    first = added("sse 20 ms c=32", "ttft_p50_ms")
    yield at_most("32 streams, not in step: added time to first token, p50", first, "ms", 8)
    for load, words in (("json c=64", "64 JSON requests"), ("sse 2 ms c=64", "64 streams")):
        ours, theirs = found.get((load, "Forebay")), found.get((load, "LiteLLM"))
        faster = ratio(metric(load, "Forebay", "rps"), metric(load, "LiteLLM", "rps"))
        cheaper = ratio(theirs.cpu_ms, ours.cpu_ms) if ours and theirs else None
        yield at_least(f"{words} at once: requests/s against LiteLLM", faster, "x", 10)
        yield at_least(f"{words} at once: LiteLLM's CPU per request against ours", cheaper, "x", 10)


def of_engine(rows: Sequence[EngineRow]) -> Iterator[Aim]:
    speed = {row.target: row["tokens_per_s"] for row in rows if row.streams == 16}
    share = ratio(speed.get("Forebay"), speed.get("direct"))
    yield at_least("real engine, 16 streams: tokens/s against direct", share, "x", 0.95)


def of_memory(report: MemoryReport) -> Iterator[Aim]:
    top = max(report.total_mb)
    yield at_most("memory of web and worker, highest", top, "MB", 400)
    text = f"memory growth over the later half of {report.requests[-1]:,} requests"
    yield at_most(text, report.bytes_per_request, "bytes/request", FLAT_BYTES_PER_REQUEST)
    text = f"{report.sockets.number:,} idle sockets of the chat, web"
    yield at_most(text, report.sockets.more_mb("web"), "MB", 200)


def of_bodies(report: BodiesReport) -> Iterator[Aim]:
    refused = float(sum(row.bad for row in report.rows if row.target == "Forebay"))
    yield at_most("prompts of 16 KB to 2 MB, 1 and 16 at once: refused", refused, "", 0)
    more = difference(report.small("beside", "p99_ms"), report.small("alone", "p99_ms"))
    yield at_most("small requests beside 16 clients with 2 MB: p99 more by", more, "ms", 300)


def of_admission(report: AdmissionReport) -> Iterator[Aim]:
    for row in report.rows:
        if row.aimed_at:
            text = f"admission at {RATE}/s, {row.name}: added"
            yield at_most(f"{text} p50", row.added.p50, "ms", 2)
            yield at_most(f"{text} p99", row.added.p99, "ms", 10)
    few, many = (report.row(name) for name in (SETTINGS[0].name, SETTINGS[2].name))
    if few and many:
        text = f"admission, {many.name} against {few.name}: p50 more by"
        yield at_most(text, difference(many.added.p50, few.added.p50), "ms", 1)
    for fault in report.faults[1:]:
        more = difference(fault.p99, report.faults[0].p99)
        yield at_most(f"admission, Redis {fault.name}: p99 more by", more, "ms", 300)
        yield at_most(f"admission, Redis {fault.name}: let in", fault.let_in, "", fault.may)


def of_grpc(report: GrpcReport) -> Iterator[Aim]:
    text = "whole answers, 64 at once: gRPC's requests/s against our REST"
    yield at_least(text, report.times("c=64"), "x", 1.2)


def of_usage(report: UsageReport) -> Iterator[Aim]:
    slowest = max(report.pages, key=lambda page: page.p95)
    text = f"slowest usage page with {report.rows:,} rows behind it ({slowest.page}), p95"
    yield at_most(text, slowest.p95, "ms", 1000)


def of_audit(report: AuditReport) -> Iterator[Aim]:
    for row in report.floods:
        yield at_least(f"audited requests/s, {row.name}", row.per_second, "1/s", 1000)
    text = f"audit on against off at {AUDIT_RATE}/s: added p99"
    yield at_most(text, report.added.p99, "ms", 10)
    text = f"a request waited for the sealer, in {report.looks:,} looks"
    yield at_most(text, report.held, "times", 0)


def of_verify(report: VerifyReport) -> Iterator[Aim]:
    text = f"verification of {report.events:,} events, median"
    yield at_most(text, report.verified_s, "s", 10)


def of_search(report: SearchReport) -> Iterator[Aim]:
    for limit in sorted({one.aim_ms for one in report.questions}):
        asked = [one for one in report.questions if one.aim_ms == limit]
        slowest = max(asked, key=lambda one: one.p95_ms)
        text = f"slowest audit search of {report.rows:,} events ({slowest.question}), p95"
        yield at_most(text, slowest.p95_ms, "ms", limit)


def at_least(text: str, value: float | None, unit: str, limit: float) -> Aim:
    return Aim(text, value, unit, limit, at_least=True)


def at_most(text: str, value: float | None, unit: str, limit: float) -> Aim:
    return Aim(text, value, unit, limit, at_least=False)
