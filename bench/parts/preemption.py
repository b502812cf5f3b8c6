"""python -m bench.parts.preemption: a slot for a real-time request.

Every slot is busy with batch work, and more of it waits, when real-time requests come, one after
the other: how long until the engine begins them? Of a mock engine its own clock tells; of the
embedded llama.cpp the first token does. The same requests on the idle platform compare.
"""

import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path

from bench.compare.comparison import tell
from bench.compare.engine import direct_target
from bench.figures.statistics import median, percentile
from bench.figures.tables import cell, table
from bench.load.generator import LoadReport, Options
from bench.parts import apart
from bench.servers.forebay import Forebay
from bench.servers.targets import MODEL, MockEngine, Target, send

MOCK, LLAMA_CPP = "mock engine", "llama.cpp"
SLOTS = {MOCK: 8, LLAMA_CPP: 4}
INTERVAL_MS = 20.0  # of the mock engine's tokens
BATCH_TOKENS = {MOCK: 400, LLAMA_CPP: 192}
PROBES_PER_S = 2.0
FILLING_S = 3.0  # until batch work has every slot
CONTEXT = 512
PARKED = """
from django.db.models import Sum
from inference.models import Usage
print(Usage.objects.aggregate(n=Sum("preemptions"))["n"] or 0)
"""
METHOD = f"""\
{PROBES_PER_S:g} real-time requests a second while batch requests, twice as many as there are
slots, stream long answers: each real-time one finds every slot taken. Of the mock engine
({SLOTS[MOCK]} slots, {INTERVAL_MS:g} ms a token) the time is from the client's write until the
engine has read the request, of llama.cpp ({SLOTS[LLAMA_CPP]} slots) until its first token. "Bad"
counts batch answers, too: what was parked must come whole."""


@dataclass(slots=True)
class PreemptionRow:
    """Medians over the rounds, in ms; `parked`: over all of them."""

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

    def row(self, engine: str) -> PreemptionRow | None:
        return next((row for row in self.rows if row.engine == engine), None)


@dataclass(slots=True)
class _Probed:
    p50: float | None
    p99: float | None
    number: int
    reports: list[LoadReport]


Probe = Callable[[Options], _Probed]


def measured(rounds: int, seconds: float) -> PreemptionReport:
    rows = []
    for measure in (_of_mock, _of_llama_cpp):
        with tempfile.TemporaryDirectory(prefix="forebay-bench-") as name:
            folder = Path(name)
            folder.chmod(0o755)  # PostgreSQL may run as another user
            rows.append(measure(folder, rounds, seconds))
    return PreemptionReport(rounds, seconds, rows)


def _of_mock(folder: Path, rounds: int, seconds: float) -> PreemptionRow:
    mock = MockEngine(folder)
    # The kind of an engine that goes on with a text: else nothing could be parked once it speaks.
    engine = {"kind": "vllm", "url": mock.url, "slots": SLOTS[MOCK]}
    forebay = Forebay(folder, {MODEL: engine})

    def probe(options: Options) -> _Probed:
        mock.delays()
        report = send(replace(options, stamped=True))
        delays = mock.delays()
        return _Probed(percentile(delays, 50), percentile(delays, 99), len(delays), [report])

    try:
        mock.control(tokens=BATCH_TOKENS[MOCK], interval_ms=INTERVAL_MS, stamped=True)
        return _row(MOCK, forebay, forebay.target(MODEL), probe, rounds, seconds)
    finally:
        forebay.stop()
        mock.stop()


def _of_llama_cpp(folder: Path, rounds: int, seconds: float) -> PreemptionRow:
    slots = {"FOREBAY_SLOTS": str(SLOTS[LLAMA_CPP]), "FOREBAY_CONTEXT": str(CONTEXT)}
    forebay = Forebay(folder, variables=slots)

    def probe(options: Options) -> _Probed:
        report = send(options)
        return _Probed(report.ttft_p50_ms, report.ttft_p99_ms, report.all, [report])

    try:
        target = forebay.target(direct_target(forebay).model)
        return _row(LLAMA_CPP, forebay, target, probe, rounds, seconds)
    finally:
        forebay.stop()


def _row(
    engine: str, forebay: Forebay, target: Target, probe: Probe, rounds: int, seconds: float
) -> PreemptionRow:
    asked = _probes(target, seconds)
    send(replace(asked, seconds=2.0))
    idle, busy, batches = list[_Probed](), list[_Probed](), list[LoadReport]()
    for number in range(rounds):
        tell(f"preemption round {number + 1}/{rounds}: {engine}")
        idle.append(probe(asked))
        with ThreadPoolExecutor(1) as beside:
            batch = beside.submit(send, _batch(engine, target, seconds))
            time.sleep(FILLING_S)
            busy.append(probe(asked))
            batches.append(batch.result())
    reports = [report for one in (*idle, *busy) for report in one.reports] + batches
    return PreemptionRow(
        engine=engine,
        idle_p50=median(one.p50 for one in idle),
        busy_p50=median(one.p50 for one in busy),
        busy_p99=median(one.p99 for one in busy),
        probes=sum(one.number for one in busy),
        parked=int(forebay.manage("shell", "-c", PARKED).split()[-1]),
        bad=sum(report.bad for report in reports),
        all=sum(report.all for report in reports),
        wrong=sorted({text for report in reports for text in report.wrong}),
    )


def _probes(target: Target, seconds: float) -> Options:
    return Options(
        url=target.url,
        key=target.key,
        model=target.model,
        stream=True,
        rate=PROBES_PER_S,
        seconds=seconds,
        warmup=0.0,
        grace=60.0,
        max_tokens=4,
        ignore_eos=True,
    )


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
    head = (
        "engine",
        "idle p50 ms",
        "every slot busy p50 ms",
        "p99 ms",
        "requests",
        "parked",
        "bad",
    )
    wrong = [f"* {row.engine}: `{text}`" for row in report.rows for text in row.wrong]
    return "\n\n".join([table(head, map(_cells, report.rows)), *wrong, METHOD])


def _cells(row: PreemptionRow) -> tuple[str, ...]:
    figures = map(cell, (row.idle_p50, row.busy_p50, row.busy_p99))
    return (row.engine, *figures, str(row.probes), str(row.parked), f"{row.bad} of {row.all}")


def main() -> None:
    apart.run("bench.parts.preemption", measured, section, rounds=1, seconds=12.0)


if __name__ == "__main__":
    main()
