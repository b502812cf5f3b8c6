"""A start with an existing home, and the memory of a platform that idles, its engine elsewhere."""

import time
from collections.abc import Iterator
from dataclasses import dataclass, field

from bench.figures import Aim, cell, median, paragraphs, table, tell
from bench.servers.child import temporary_folder
from bench.servers.forebay import Forebay, mock_engine
from bench.servers.processes import Use, use_by_role
from bench.servers.targets import MODEL

SETTLED_S = 5.0  # from ready until memory is looked at
NOT_OURS = ("postgres", "valkey")  # the same however the rest starts


@dataclass(slots=True)
class StartReport:
    seconds: list[float] = field(default_factory=list)  # until /readyz answers
    cpu_s: list[float] = field(default_factory=list)  # of our processes that live on
    memory_mb: dict[str, float] = field(default_factory=dict)  # by role, of the last start


def measure(rounds: int) -> StartReport:
    report = StartReport()
    with mock_engine() as mock, temporary_folder() as folder:
        engines = {MODEL: {"kind": "openai", "url": mock.url, "slots": 4}}
        first = Forebay(folder, engines)
        first.stop()
        for _ in range(rounds):
            began = time.monotonic()
            again = Forebay(folder, engines, key=first.key)
            report.seconds.append(time.monotonic() - began)
            time.sleep(SETTLED_S)
            _look(report, use_by_role(again.child.pid))
            again.stop()
    return report


def _look(report: StartReport, use: dict[str, Use]) -> None:
    ours = {name: each for name, each in use.items() if name not in NOT_OURS}
    report.cpu_s.append(sum(each.cpu_ms for each in ours.values()) / 1000)
    report.memory_mb = {name: each.memory_mb for name, each in sorted(ours.items())}
    tell(f"start: {report.seconds[-1]:.2f} s, {report.memory_mb}")


def section(report: StartReport) -> str:
    seconds, cpu = median(report.seconds), median(report.cpu_s)
    text = (
        f"Ready after {cell(seconds)} s (median of {len(report.seconds)} starts with an existing "
        f"home), with {cell(cpu)} s of processor time in the processes that stay. Memory of an "
        "idle platform beside PostgreSQL and Valkey, shared pages in parts (PSS):"
    )
    sizes = {**report.memory_mb, "together": sum(report.memory_mb.values())}
    return paragraphs(text, table(list(sizes), [[f"{cell(size)} MB" for size in sizes.values()]]))


def aims(report: StartReport) -> Iterator[Aim]:
    yield Aim("start with an existing home", median(report.seconds), "s", 2.5)


def key_figures(report: StartReport) -> dict[str, float | None]:
    return {
        "start_s": median(report.seconds),
        "idle_memory_mb": sum(report.memory_mb.values()),
    }
