"""python -m bench.parts.batching: what continuous batching gives.

Tokens a second at 1, 4, 16 and 32 streams, of an engine alone and through Forebay, by turns: the
embedded llama.cpp, and a real vLLM on the CPU where `.venv-vllm` has one. Either is started by the
platform under test, which idles while the engine is asked alone.
"""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bench.compare.comparison import tell
from bench.compare.engine import direct_target
from bench.figures.statistics import median, ratio
from bench.figures.tables import cell, table
from bench.load.generator import LoadReport, Options
from bench.parts import apart
from bench.servers import real_vllm
from bench.servers.forebay import Forebay
from bench.servers.targets import Target, send

STREAMS = (1, 4, 16, 32)
SLOTS = max(STREAMS)
CONTEXT = 512  # tokens of a slot
MAX_TOKENS = 64
LLAMA_CPP, VLLM = "llama.cpp", "vLLM"
NO_VLLM = "vLLM is left out: there is no .venv-vllm (sh tests_vllm/install.sh python3 .venv-vllm)."
METHOD = f"""\
Streamed answers of {MAX_TOKENS} tokens (`ignore_eos`), {SLOTS} slots of {CONTEXT} tokens, medians
over the rounds. *x* is against one stream of the same column."""


@dataclass(slots=True)
class BatchingRow:
    """Tokens a second of one engine at so many streams: medians over the rounds."""

    engine: str
    streams: int
    alone: float | None
    through: float | None
    bad: int
    all: int
    wrong: list[str] = field(default_factory=list)

    @property
    def share(self) -> float | None:
        return ratio(self.through, self.alone)


@dataclass(slots=True)
class BatchingReport:
    rounds: int
    seconds: float
    rows: list[BatchingRow]
    left_out: list[str] = field(default_factory=list)

    def row(self, engine: str, streams: int) -> BatchingRow | None:
        wanted = (engine, streams)
        return next((row for row in self.rows if (row.engine, row.streams) == wanted), None)

    def times(self, row: BatchingRow, column: str) -> float | None:
        """Its tokens a second as a multiple of one stream's; `column`: alone, through."""
        one = self.row(row.engine, 1)
        return ratio(getattr(row, column), getattr(one, column)) if one else None


def measured(rounds: int, seconds: float) -> BatchingReport:
    report = BatchingReport(rounds, seconds, [])
    with tempfile.TemporaryDirectory(prefix="forebay-bench-") as folder:
        Path(folder).chmod(0o755)  # PostgreSQL may run as another user
        report.rows += _of_llama_cpp(Path(folder) / "llama", rounds, seconds)
        if real_vllm.is_installed():
            report.rows += _of_vllm(Path(folder) / "vllm", rounds, seconds)
        else:
            report.left_out.append(NO_VLLM)
    return report


def _of_llama_cpp(folder: Path, rounds: int, seconds: float) -> list[BatchingRow]:
    folder.mkdir()
    variables = {"FOREBAY_SLOTS": str(SLOTS), "FOREBAY_CONTEXT": str(CONTEXT)}
    return _rows(LLAMA_CPP, Forebay(folder, variables=variables), rounds, seconds)


def _of_vllm(folder: Path, rounds: int, seconds: float) -> list[BatchingRow]:
    folder.mkdir()
    engines = {real_vllm.MODEL: real_vllm.engine(SLOTS, CONTEXT)}
    forebay = Forebay(folder, engines, ready="/livez")
    try:
        tell("waiting for vLLM")
        forebay.child.wait_until_ready(f"http://127.0.0.1:{forebay.port}/readyz", real_vllm.START_S)
    except BaseException:
        forebay.stop()
        raise
    return _rows(VLLM, forebay, rounds, seconds)


def _rows(engine: str, forebay: Forebay, rounds: int, seconds: float) -> list[BatchingRow]:
    """Stops the platform."""
    try:
        alone = direct_target(forebay)
        targets = [alone, forebay.target(alone.model)]
        for target in targets:
            send(_options(target, SLOTS, seconds=2.0))
        return [_row(engine, streams, targets, rounds, seconds) for streams in STREAMS]
    finally:
        forebay.stop()


def _row(
    engine: str, streams: int, targets: Sequence[Target], rounds: int, seconds: float
) -> BatchingRow:
    reports: dict[str, list[LoadReport]] = {target.name: [] for target in targets}
    for number in range(rounds):
        for target in targets if number % 2 == 0 else reversed(targets):
            tell(f"round {number + 1}/{rounds}: {engine}, {streams} streams, {target.name}")
            reports[target.name].append(send(_options(target, streams, seconds)))
    alone, through = (reports[target.name] for target in targets)
    both = [*alone, *through]
    return BatchingRow(
        engine=engine,
        streams=streams,
        alone=median(report.tokens_per_s for report in alone),
        through=median(report.tokens_per_s for report in through),
        bad=sum(report.bad for report in both),
        all=sum(report.all for report in both),
        wrong=sorted({text for report in both for text in report.wrong}),
    )


def _options(target: Target, streams: int, seconds: float) -> Options:
    return Options(
        url=target.url,
        key=target.key,
        model=target.model,
        stream=True,
        concurrency=streams,
        seconds=seconds,
        warmup=1.0,
        grace=120.0,
        max_tokens=MAX_TOKENS,
        ignore_eos=True,
    )


def section(report: BatchingReport) -> str:
    head = ("engine", "streams", "alone tokens/s", "x", "through tokens/s", "x", "through / alone")
    body = [_cells(report, row) for row in report.rows]
    said = [table((*head, "bad"), body), *report.left_out, METHOD]
    return "\n\n".join(said)


def _cells(report: BatchingReport, row: BatchingRow) -> tuple[str, ...]:
    figures = (
        row.alone,
        report.times(row, "alone"),
        row.through,
        report.times(row, "through"),
        row.share,
    )
    return (row.engine, str(row.streams), *map(cell, figures), f"{row.bad} of {row.all}")


def main() -> None:
    apart.run("bench.parts.batching", measured, section, rounds=3, seconds=20.0)


if __name__ == "__main__":
    main()
