"""What the figures should reach, and whether they did."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from bench.compare.compared import (
    IN_STEP,
    JSON_64,
    JSON_200,
    ONE_JSON,
    STREAMS_32,
    STREAMS_64,
    Compared,
)
from bench.compare.comparison import Row
from bench.compare.engine import EngineRow, share_of_direct
from bench.compare.idle import IdleReport
from bench.figures.statistics import difference
from bench.parts.admission import RATE, SETTINGS, AdmissionReport
from bench.parts.audit import FLOODS, AuditReport
from bench.parts.audit import RATE as AUDIT_RATE
from bench.parts.audit_search import SearchReport
from bench.parts.audit_verify import VerifyReport
from bench.parts.batching import VLLM, BatchingReport
from bench.parts.big_bodies import BodiesReport
from bench.parts.cache_trace import CacheReport
from bench.parts.dispatch import RATE as DISPATCHED
from bench.parts.dispatch import DispatchReport
from bench.parts.dispatch import median_of as dispatched
from bench.parts.fairness import POOLS, FairnessReport
from bench.parts.grpc_unary import GrpcReport
from bench.parts.memory import MemoryReport
from bench.parts.preemption import PreemptionReport
from bench.parts.usage import UsageReport

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
    mock = Compared(rows)
    for load, words, p50, p99 in (
        (ONE_JSON, "one JSON request alone", 3, 8),
        (JSON_200, "200 JSON requests/s", 3.5, 10),
    ):
        yield at_most(f"{words}: added p50", mock.added(load, "p50_ms"), "ms", p50)
        yield at_most(f"{words}: added p99", mock.added(load, "p99_ms"), "ms", p99)
    for load, words, limit in ((STREAMS_32, "not in step", 4), (IN_STEP, "in step", 8)):
        text = f"32 streams, {words}: added time to first token, p50"
        yield at_most(text, mock.added(load, "ttft_p50_ms"), "ms", limit)
    gap = mock.metric(STREAMS_32, "gap_p99_ms")
    yield at_most("32 streams of 20 ms per token: gap between tokens, p99", gap, "ms", 24)
    for load, words, faster, cheaper, cpu in (
        (JSON_64, "64 JSON requests", 20, 17, 0.55),
        (STREAMS_64, "64 streams", 23, 10, 2.2),
    ):
        text = f"{words} at once: requests/s against LiteLLM"
        yield at_least(text, mock.faster(load), "x", faster)
        text = f"{words} at once: LiteLLM's CPU per request against ours"
        yield at_least(text, mock.cheaper(load), "x", cheaper)
        yield at_most(f"{words} at once: CPU per request", mock.cpu(load), "ms", cpu)
    ours = [row for row in rows if row.target == "Forebay"]
    text = f"bad answers of {sum(row.all for row in ours):,}"
    yield at_most(text, sum(row.bad for row in ours) if ours else None, "", 0)


def of_idle(report: IdleReport) -> Iterator[Aim]:
    yield at_most("idle platform: CPU in percent of one core", report.total, "%", 1.5)


def of_engine(rows: Sequence[EngineRow]) -> Iterator[Aim]:
    for streams, words, limit in ((1, "1 stream", 0.97), (16, "16 streams", 0.98)):
        share = share_of_direct(rows, streams)
        yield at_least(f"real engine, {words}: tokens/s against direct", share, "x", limit)


def of_batching(report: BatchingReport) -> Iterator[Aim]:
    if row := report.row(VLLM, 16):
        text = "vLLM, 16 streams through Forebay: tokens/s against one stream"
        yield at_least(text, report.times(row, "through"), "x", 8)
    for row in report.rows:
        text = f"{row.engine}, {row.streams} streams: tokens/s through Forebay against alone"
        yield at_least(text, row.share, "x", 0.97)


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
            yield at_most(f"{text} p50", row.added.p50, "ms", 0.8)
            yield at_most(f"{text} p99", row.added.p99, "ms", 10)
    few, many = (report.row(name) for name in (SETTINGS[0].name, SETTINGS[2].name))
    if few and many:
        text = f"admission, {many.name} against {few.name}: p50 more by"
        yield at_most(text, difference(many.added.p50, few.added.p50), "ms", 1)


def of_grpc(report: GrpcReport) -> Iterator[Aim]:
    text = "whole answers, 64 at once: gRPC's requests/s against our REST"
    yield at_least(text, report.times("c=64"), "x", 1.2)


def of_cache(report: CacheReport) -> Iterator[Aim]:
    yield at_most("a kept answer: added p50", report.alone["hit"][0], "ms", 5)


def of_usage(report: UsageReport) -> Iterator[Aim]:
    slowest = max(report.pages, key=lambda page: page.p95)
    text = f"slowest usage page with {report.rows:,} rows behind it ({slowest.page}), p95"
    yield at_most(text, slowest.p95, "ms", 1000)


def of_audit(report: AuditReport) -> Iterator[Aim]:
    for row in report.floods:
        limit = 2500 if row.name == FLOODS[0].name else 1000
        yield at_least(f"audited requests/s, {row.name}", row.per_second, "1/s", limit)
    text = f"audit on against off at {AUDIT_RATE}/s: added p99"
    yield at_most(text, report.added.p99, "ms", 10)
    text = f"a request waited for the sealer, in {report.looks:,} looks"
    yield at_most(text, report.held, "times", 0)


def of_verify(report: VerifyReport) -> Iterator[Aim]:
    text = f"verification of {report.events:,} events, median"
    yield at_most(text, report.verified_s, "s", 4)


def of_search(report: SearchReport) -> Iterator[Aim]:
    for limit in sorted({one.aim_ms for one in report.questions}):
        asked = [one for one in report.questions if one.aim_ms == limit]
        slowest = max(asked, key=lambda one: one.p95_ms)
        text = f"slowest audit search of {report.rows:,} events ({slowest.question}), p95"
        yield at_most(text, slowest.p95_ms, "ms", limit)


def of_fairness(report: FairnessReport) -> Iterator[Aim]:
    for weights in POOLS:
        text = f"two backlogged tenants, weights {weights}: tokens/s off the weights by"
        yield at_most(text, report.off(weights), "x", 1.05)
    text = "a tenant's p95 wait for the first token beside a flood, against alone"
    yield at_most(text, report.moved, "x", 1.5)
    if (pops := report.pops) is not None:
        yield at_most("a pop where 1,000 tenants wait: p99", pops.p99_ms, "ms", 1)


def of_dispatch(report: DispatchReport) -> Iterator[Aim]:
    for metric, limit in (("p50_ms", 5), ("p99_ms", 20)):
        name = metric.removesuffix("_ms")
        text = f"{DISPATCHED} requests/s: from the client until the engine has it, {name}"
        yield at_most(text, dispatched(report.through, metric), "ms", limit)


def of_preemption(report: PreemptionReport) -> Iterator[Aim]:
    for row in report.rows:
        text = f"{row.engine}, every slot busy: batch answers that did not come whole"
        yield at_most(text, row.bad, "", 0)


def at_least(text: str, value: float | None, unit: str, limit: float) -> Aim:
    return Aim(text, value, unit, limit, at_least=True)


def at_most(text: str, value: float | None, unit: str, limit: float) -> Aim:
    return Aim(text, value, unit, limit, at_least=False)
