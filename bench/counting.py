"""python -m bench.counting [--rounds N] [--seconds S]: what metrics cost a request.

Two platforms stand beside each other on one mock engine: one counts, and is scraped; the other
counts nothing (bench/uncounted/) and has no ports for its figures. They take turns in short slices
of the same load.
"""

import json
import os
import tempfile
import threading
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from bench import apart
from bench.cells import cell, table
from bench.children import REPOSITORY
from bench.compare import tell
from bench.figures import median
from bench.load import Options
from bench.processes import use_by_role
from bench.targets import MODEL, MockEngine, send
from bench.under_test import Forebay
from config.supervisor.ports import find_free

SLOTS, AT_ONCE, TOKENS = 64, 16, 60
EVERY_S = 5.0
ROLES = ("web", "worker")
METHOD = f"""\
Streams of {TOKENS} tokens, {AT_ONCE} at once; CPU of web process and worker together, from /proc,
medians over the rounds. "With" counts and has all its ports scraped every {EVERY_S:g} s, three
times as often as by `deploy/prometheus`; "without" counts nothing. Each round has a slice of both,
one after the other, and the cost is the median of what each round has found by itself: whatever
else the machine does falls on both."""


@dataclass(slots=True)
class CountingSlice:
    """CPU of a request in ms, by role."""

    cpu_ms: dict[str, float]
    requests: int
    bad: int

    @property
    def both_ms(self) -> float:
        return sum(self.cpu_ms.values())


@dataclass(slots=True)
class CountingReport:
    rounds: int
    seconds: float
    on: list[CountingSlice] = field(default_factory=list)
    off: list[CountingSlice] = field(default_factory=list)

    @property
    def cost(self) -> float | None:
        """In percent."""
        ratios = [on.both_ms / off.both_ms for on, off in zip(self.on, self.off, strict=True)]
        found = median(ratios)
        return None if found is None else (found - 1) * 100


def measured(rounds: int, seconds: float) -> CountingReport:
    report = CountingReport(rounds, seconds)
    with tempfile.TemporaryDirectory(prefix="forebay-bench-") as name, _two(Path(name)) as two:
        for each in two:
            _slice(each, 2.0)  # until everything is warm
        for number in range(rounds):
            tell(f"metrics round {number + 1}/{rounds}")
            kept = list(zip((report.on, report.off), two, strict=True))
            for slices, each in kept if number % 2 else reversed(kept):
                slices.append(_slice(each, seconds))
    return report


@contextmanager
def _two(folder: Path) -> Iterator[tuple[Forebay, Forebay]]:
    """One that counts, and one that does not."""
    folder.chmod(0o755)  # PostgreSQL may run as another user
    mock = MockEngine(folder)
    try:
        mock.control(tokens=TOKENS, interval_ms=2)
        before = os.environ.get("PYTHONPATH", "")
        uncounted = os.pathsep.join([str(REPOSITORY / "bench" / "uncounted"), before])
        with (
            _running(folder / "on", mock, {"FOREBAY_METRICS_PORT": str(find_free())}) as on,
            _running(folder / "off", mock, {"PYTHONPATH": uncounted}) as off,
            scraped(on.home),
        ):
            yield on, off
    finally:
        mock.stop()


@contextmanager
def _running(folder: Path, mock: MockEngine, variables: Mapping[str, str]) -> Iterator[Forebay]:
    folder.mkdir(mode=0o755)
    engines = {MODEL: {"kind": "openai", "url": mock.url, "slots": SLOTS}}
    forebay = Forebay(folder, engines, variables=variables)
    try:
        yield forebay
    finally:
        forebay.stop()


@contextmanager
def scraped(home: Path) -> Iterator[None]:
    """All its processes, as Prometheus does it."""
    over = threading.Event()
    scraping = threading.Thread(target=_scrape, args=[home / "metrics" / "targets.json", over])
    scraping.start()
    try:
        yield
    finally:
        over.set()
        scraping.join()


def _scrape(listed: Path, over: threading.Event) -> None:
    while not over.wait(EVERY_S):
        for each in json.loads(listed.read_text()):
            for address in each["targets"]:
                with urllib.request.urlopen(f"http://{address}/metrics", timeout=5) as told:
                    told.read()


def _slice(forebay: Forebay, seconds: float) -> CountingSlice:
    before = use_by_role([forebay.child.pid])
    options = Options(
        url=f"http://127.0.0.1:{forebay.port}/v1",
        key=forebay.key,
        model=MODEL,
        stream=True,
        concurrency=AT_ONCE,
        seconds=seconds,
        warmup=0.0,
        tokens=TOKENS,
        max_tokens=TOKENS,
    )
    load = send(options)
    after = use_by_role([forebay.child.pid])
    spent = {role: (after[role].cpu_ms - before[role].cpu_ms) / load.all for role in ROLES}
    return CountingSlice(spent, load.all, load.bad)


def section(report: CountingReport) -> str:
    head = ("CPU of a request", *(f"{role} ms" for role in ROLES), "both ms", "requests", "bad")
    rows = [_cells("without metrics", report.off), _cells("with metrics", report.on)]
    said = f"The median of the rounds' ratios: {cell(report.cost)} % more with metrics."
    return "\n\n".join([table(head, rows), said, METHOD])


def _cells(name: str, slices: list[CountingSlice]) -> tuple[str, ...]:
    by_role = [median(one.cpu_ms[role] for one in slices) for role in ROLES]
    figures = (*by_role, median(one.both_ms for one in slices))
    counts = (sum(one.requests for one in slices), sum(one.bad for one in slices))
    return (name, *map(cell, figures), *(f"{count:,}" for count in counts))


def main() -> None:
    apart.run("bench.counting", measured, section, rounds=8, seconds=4.0)


if __name__ == "__main__":
    main()
