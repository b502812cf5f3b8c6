"""A slot for a real-time request where batch work has every slot and more of it waits.

The mock engine's clock says when it has the request, llama.cpp's first token when it begins. The
same requests on the idle platform compare.
"""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace

from bench.compare.engine import direct_target, forebay_on_llama_cpp
from bench.figures.aims import Aim, at_most
from bench.figures.progress import tell
from bench.figures.statistics import Spread, median
from bench.figures.tables import cell, complaints, paragraphs, table
from bench.load.generator import LoadReport, Options
from bench.parts.part import Part, timed
from bench.servers.forebay import Forebay
from bench.servers.on_mock_engine import forebay_on_mock_engine
from bench.servers.targets import MODEL, Target, send

MOCK, LLAMA_CPP = "mock engine", "llama.cpp"
SLOTS = {MOCK: 8, LLAMA_CPP: 4}
INTERVAL_MS = 20.0  # of the mock engine's tokens
BATCH_TOKENS = {MOCK: 400, LLAMA_CPP: 192}
PROBES_PER_S = 2.0
FILLING_S = 3.0  # until batch work has every slot
CONTEXT = 512
PARKED = "select coalesce(sum(preemptions), 0) from inference_usage"
METHOD = f"""\
{PROBES_PER_S:g} real-time requests a second while batch requests, twice as many as there are
slots, stream long answers: each real-time one finds every slot taken. Of the mock engine
({SLOTS[MOCK]} slots, {INTERVAL_MS:g} ms a token) the time is from the client's write until the
engine has read the request, of llama.cpp ({SLOTS[LLAMA_CPP]} slots) until its first token. "Bad"
counts batch answers, too: what was parked must come whole."""


@dataclass(slots=True)
class PreemptionRow:
    """Medians over the rounds, in ms; `parked` is the sum over all of them."""

    engine: str
    idle_p50: float | None
    busy_p50: float | None
    busy_p99: float | None
    probes: int
    parked: int
    bad: int
    all: int
    wrong: list[str] = field(default_factory=list)


@dataclass(slots=True)
class PreemptionReport:
    rounds: int
    seconds: float
    rows: list[PreemptionRow]


@dataclass(slots=True)
class _Probed:
    spread: Spread
    number: int
    report: LoadReport


Probe = Callable[[Options], _Probed]


def measure(rounds: int, seconds: float) -> PreemptionReport:
    rows = [_on_mock_engine(rounds, seconds), _on_llama_cpp(rounds, seconds)]
    return PreemptionReport(rounds, seconds, rows)


def _on_mock_engine(rounds: int, seconds: float) -> PreemptionRow:
    # The kind of an engine that continues a text: else nothing that has begun could be parked.
    with forebay_on_mock_engine(kind="vllm", slots=SLOTS[MOCK]) as (mock, forebay):

        def probe(options: Options) -> _Probed:
            mock.delays()
            report = send(replace(options, stamped=True))
            delays = mock.delays()
            return _Probed(Spread.of(delays), len(delays), report)

        mock.control(tokens=BATCH_TOKENS[MOCK], interval_ms=INTERVAL_MS, stamped=True)
        return _row(MOCK, forebay, forebay.target(MODEL), probe, rounds, seconds)


def _on_llama_cpp(rounds: int, seconds: float) -> PreemptionRow:
    def probe(options: Options) -> _Probed:
        report = send(options)
        return _Probed(Spread(report.ttft_p50_ms, report.ttft_p99_ms), report.all, report)

    with forebay_on_llama_cpp(SLOTS[LLAMA_CPP], CONTEXT) as forebay:
        target = forebay.target(direct_target(forebay).model)
        return _row(LLAMA_CPP, forebay, target, probe, rounds, seconds)


def _row(
    engine: str, forebay: Forebay, target: Target, probe: Probe, rounds: int, seconds: float
) -> PreemptionRow:
    probes = _probes(target, seconds)
    send(replace(probes, seconds=2.0))
    idle, busy, batches = list[_Probed](), list[_Probed](), list[LoadReport]()
    for number in range(rounds):
        tell(f"preemption round {number + 1}/{rounds}: {engine}")
        idle.append(probe(probes))
        with ThreadPoolExecutor(1) as beside:
            batch = beside.submit(send, _batch(engine, target, seconds))
            time.sleep(FILLING_S)
            busy.append(probe(probes))
            batches.append(batch.result())
    reports = [one.report for one in (*idle, *busy)] + batches
    return PreemptionRow(
        engine=engine,
        idle_p50=median(one.spread.p50 for one in idle),
        busy_p50=median(one.spread.p50 for one in busy),
        busy_p99=median(one.spread.p99 for one in busy),
        probes=sum(one.number for one in busy),
        parked=int(forebay.rows(PARKED)[0][0]),
        bad=sum(report.bad for report in reports),
        all=sum(report.all for report in reports),
        wrong=sorted({text for report in reports for text in report.wrong}),
    )


def _probes(target: Target, seconds: float) -> Options:
    return target.options(
        stream=True, rate=PROBES_PER_S, seconds=seconds, warmup=0.0, grace=60.0, max_tokens=4,
        ignore_eos=True,
    )  # fmt: skip


def _batch(engine: str, target: Target, seconds: float) -> Options:
    return replace(
        _probes(target, FILLING_S + seconds),
        rate=0.0,
        concurrency=2 * SLOTS[engine],
        max_tokens=BATCH_TOKENS[engine],
        klass="batch",
        grace=120.0,
    )


def section(report: PreemptionReport) -> str:
    head = ("engine", "idle p50 ms", "every slot busy p50 ms", "p99 ms", "requests", "parked")
    wrong = complaints(f"{row.engine}: {text}" for row in report.rows for text in row.wrong)
    return paragraphs(table((*head, "bad"), map(_cells, report.rows)), wrong, METHOD)


def _cells(row: PreemptionRow) -> tuple[str, ...]:
    figures = map(cell, (row.idle_p50, row.busy_p50, row.busy_p99))
    return (row.engine, *figures, str(row.probes), str(row.parked), f"{row.bad} of {row.all}")


def aims(report: PreemptionReport) -> Iterator[Aim]:
    for row in report.rows:
        text = f"{row.engine}, every slot busy: batch answers that did not come whole"
        yield at_most(text, row.bad, "", 0)


PART = Part("Preemption", PreemptionReport, measure, section, timed(1, 12.0), timed(1, 5.0), aims)
