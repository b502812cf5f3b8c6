"""python -m bench.utilisation [--rounds N] [--seconds S]: slots that would be idle do batch work.

A day of real-time requests of four tenants, replayed in `seconds`: alone, then the same requests
beside a backlog of batch work. On the embedded llama.cpp with its bundled model, whose streams
share two cores; and on a mock engine whose streams, as on a GPU that is not full, do not slow each
other down.
"""

import json
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path

from bench import apart, svg_plot
from bench.busy_slots import BusySlots
from bench.cells import cell, table
from bench.compare import tell
from bench.engine import direct_target
from bench.figures import median, ratio
from bench.load import LoadReport, Options
from bench.targets import MODEL, MockEngine, Target, send
from bench.under_test import Forebay
from inference.pools import entries

LLAMA_CPP, MOCK = "llama.cpp", "mock engine"
SLOTS = {LLAMA_CPP: 4, MOCK: 16}
TOKENS, BATCH_TOKENS = 32, 96
INTERVAL_MS = 20.0  # of the mock engine's tokens
TENANTS = ("north", "south", "east", "west")
LOAD = {LLAMA_CPP: 0.45, MOCK: 0.45}  # real-time's part of what the engine can do
CONTEXT = 512
PARTS = 48  # of the day, in the picture
WARMUP_S = 2.0
METHOD = f"""\
Poisson arrivals of {len(TENANTS)} tenants whose noons lie apart, from 0.4 to 1.6 times the mean,
which asks for {LOAD[LLAMA_CPP]:.0%} of what the engine can do; streamed answers of {TOKENS} tokens.
The backlog: batch requests of {BATCH_TOKENS} tokens, twice as many as there are slots, always.
*Fill*: slots that a runner has given to a request, looked at 20 times a second."""


@dataclass(slots=True)
class Replay:
    """One day. Times in ms, of real-time requests; `fills` by half hours."""

    fill: float
    ttft_p50_ms: float | None
    ttft_p99_ms: float | None
    requests: int
    bad: int
    batch_tokens_per_s: float
    fills: list[float] = field(default_factory=list)


@dataclass(slots=True)
class UtilisationRow:
    engine: str
    alone: list[Replay] = field(default_factory=list)
    beside: list[Replay] = field(default_factory=list)

    @property
    def longer(self) -> float | None:
        """The p99 until the first token beside batch work, as a multiple of that alone."""
        alone, beside = (
            median(one.ttft_p99_ms for one in replays) for replays in (self.alone, self.beside)
        )
        return ratio(beside, alone)

    def fill(self, replays: list[Replay]) -> float | None:
        return median(one.fill for one in replays)


@dataclass(slots=True)
class UtilisationReport:
    rounds: int
    seconds: float
    rows: list[UtilisationRow]

    def row(self, engine: str) -> UtilisationRow | None:
        return next((row for row in self.rows if row.engine == engine), None)


def measured(rounds: int, seconds: float) -> UtilisationReport:
    rows = []
    for measure in (_of_llama_cpp, _of_mock):
        with tempfile.TemporaryDirectory(prefix="forebay-bench-") as name:
            folder = Path(name)
            folder.chmod(0o755)  # PostgreSQL may run as another user
            rows.append(measure(folder, rounds, seconds))
    return UtilisationReport(rounds, seconds, rows)


def _of_llama_cpp(folder: Path, rounds: int, seconds: float) -> UtilisationRow:
    slots = {"FOREBAY_SLOTS": str(SLOTS[LLAMA_CPP]), "FOREBAY_CONTEXT": str(CONTEXT)}
    forebay = Forebay(folder, variables=slots)
    try:
        direct = direct_target(forebay)
        full = send(_closed(direct, SLOTS[LLAMA_CPP], 5.0))
        rate = LOAD[LLAMA_CPP] * full.tokens_per_s / TOKENS
        return _row(LLAMA_CPP, forebay, forebay.target(direct.model), rate, rounds, seconds)
    finally:
        forebay.stop()


def _of_mock(folder: Path, rounds: int, seconds: float) -> UtilisationRow:
    mock = MockEngine(folder)
    engine = {"kind": "vllm", "url": mock.url, "slots": SLOTS[MOCK]}
    forebay = Forebay(folder, {MODEL: engine})
    try:
        mock.control(tokens=BATCH_TOKENS, interval_ms=INTERVAL_MS)
        rate = LOAD[MOCK] * SLOTS[MOCK] / (TOKENS * INTERVAL_MS / 1000)
        return _row(MOCK, forebay, forebay.target(MODEL), rate, rounds, seconds)
    finally:
        forebay.stop()
        mock.stop()


def _row(
    engine: str, forebay: Forebay, target: Target, rate: float, rounds: int, seconds: float
) -> UtilisationRow:
    keys = ",".join(forebay.key_of(tenant) for tenant in TENANTS)
    day = replace(_closed(target, 0, seconds), key=keys, rate=rate, warmup=WARMUP_S)
    batch = replace(
        _closed(target, 2 * SLOTS[engine], seconds + WARMUP_S + 3),
        max_tokens=BATCH_TOKENS,
        klass="batch",
        grace=90.0,
    )
    row = UtilisationRow(engine)
    for number in range(rounds):
        tell(f"utilisation round {number + 1}/{rounds}: {engine}, {rate:.2f} requests/s")
        row.alone.append(_replay(engine, forebay, day, None))
        row.beside.append(_replay(engine, forebay, day, batch))
    return row


def _replay(engine: str, forebay: Forebay, day: Options, batch: Options | None) -> Replay:
    running = forebay.running()
    first, *_ = entries(json.loads(running["FOREBAY_ENGINES"]))
    looked = BusySlots(running["REDIS_URL"], first.pool, SLOTS[engine])
    with ThreadPoolExecutor(1) as beside:
        working = beside.submit(send, batch) if batch else None
        with looked:
            live = send(day, "bench.day_load")
        other = working.result() if working else LoadReport()
    return Replay(
        fill=looked.mean(),
        ttft_p50_ms=live.ttft_p50_ms,
        ttft_p99_ms=live.ttft_p99_ms,
        requests=live.all,
        bad=live.bad + other.bad,
        batch_tokens_per_s=other.tokens_per_s,
        fills=looked.by_parts(PARTS),
    )


def _closed(target: Target, concurrency: int, seconds: float) -> Options:
    return Options(
        url=target.url,
        key=target.key,
        model=target.model,
        stream=True,
        concurrency=concurrency,
        seconds=seconds,
        grace=60.0,
        max_tokens=TOKENS,
        ignore_eos=True,
    )


def section(report: UtilisationReport) -> str:
    head = ("engine", "real-time", "fill", "first token p50 ms", "p99 ms", "x", "batch tokens/s")
    rows = [cells for row in report.rows for cells in _cells(row)]
    return "\n\n".join([table((*head, "bad"), rows), METHOD])


def _cells(row: UtilisationRow) -> list[tuple[str, ...]]:
    found = []
    for name, replays in (("alone", row.alone), ("beside batch", row.beside)):
        fill = row.fill(replays)
        figures = [
            median(getattr(one, metric) for one in replays)
            for metric in ("ttft_p50_ms", "ttft_p99_ms")
        ]
        longer = cell(row.longer) if replays is row.beside else ""
        tokens = cell(median(one.batch_tokens_per_s for one in replays))
        bad = f"{sum(one.bad for one in replays)} of {sum(one.requests for one in replays)}"
        shown = "" if fill is None else f"{fill:.1%}"
        found.append((row.engine, name, shown, *map(cell, figures), longer, tokens, bad))
    return found


def charts(report: UtilisationReport) -> list[svg_plot.Chart]:
    """The last round's days."""
    hours = [(n + 0.5) * 24 / PARTS for n in range(PARTS)]
    return [
        svg_plot.Lines(
            f"{row.engine}: busy slots, %",
            hours,
            {
                "with batch": [100 * fill for fill in row.beside[-1].fills],
                "real-time": [100 * fill for fill in row.alone[-1].fills],
            },
            unit="hours",
        )
        for row in report.rows
    ]


def main() -> None:
    apart.run("bench.utilisation", measured, section, rounds=1, seconds=30.0)


if __name__ == "__main__":
    main()
