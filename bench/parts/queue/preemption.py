"""A slot for a real-time request where batch work has every slot and more of it waits."""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace

from bench.compare.engine import direct_target
from bench.figures import Aim, cell, complaints, median, paragraphs, table, tell
from bench.load.generator import LoadReport, Options, total
from bench.servers.forebay import Forebay, forebay_on, forebay_on_mock_engine
from bench.servers.targets import Target, send

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


def measure(rounds: int, seconds: float) -> PreemptionReport:
    # The kind of an engine that continues a text: else nothing that has begun could be parked.
    with forebay_on_mock_engine(kind="vllm", slots=SLOTS[MOCK]) as (mock, forebay):
        mock.control(tokens=BATCH_TOKENS[MOCK], interval_ms=INTERVAL_MS, stamped=True)
        rows = [_row(MOCK, forebay, forebay.target(), mock.send_stamped, rounds, seconds)]
    sizes = {"FOREBAY_SLOTS": str(SLOTS[LLAMA_CPP]), "FOREBAY_CONTEXT": str(CONTEXT)}
    with forebay_on(None, variables=sizes) as forebay:
        target = forebay.target(direct_target(forebay).model)
        rows.append(_row(LLAMA_CPP, forebay, target, send, rounds, seconds))
    return PreemptionReport(rounds, seconds, rows)


def _row(
    engine: str,
    forebay: Forebay,
    target: Target,
    probe: Callable[[Options], LoadReport],
    rounds: int,
    seconds: float,
) -> PreemptionRow:
    probes = target.options(
        stream=True, rate=PROBES_PER_S, seconds=seconds, warmup=0.0, grace=60.0, max_tokens=4,
        ignore_eos=True,
    )  # fmt: skip
    fill = replace(
        probes, rate=0.0, concurrency=2 * SLOTS[engine], seconds=FILLING_S + seconds, grace=120.0,
        max_tokens=BATCH_TOKENS[engine], klass="batch",
    )  # fmt: skip
    send(replace(probes, seconds=2.0))
    idle, busy, batches = list[LoadReport](), list[LoadReport](), list[LoadReport]()
    for number in range(rounds):
        tell(f"preemption round {number + 1}/{rounds}: {engine}")
        idle.append(probe(probes))
        with ThreadPoolExecutor(1) as beside:
            batch = beside.submit(send, fill)
            time.sleep(FILLING_S)
            busy.append(probe(probes))
            batches.append(batch.result())
    begins = "engine" if engine == MOCK else "ttft"
    return PreemptionRow(
        engine=engine,
        idle_p50=median(getattr(report, f"{begins}_p50_ms") for report in idle),
        busy_p50=median(getattr(report, f"{begins}_p50_ms") for report in busy),
        busy_p99=median(getattr(report, f"{begins}_p99_ms") for report in busy),
        probes=sum(report.all for report in busy),
        parked=int(forebay.rows(PARKED)[0][0]),
        **total(idle + busy + batches),
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
        yield Aim(text, row.bad, "", 0)
