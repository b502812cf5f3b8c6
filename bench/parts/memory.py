"""Resident memory of web and worker.

Is it flat over many requests, of which one in ten streams and one client in twenty hangs up in the
middle?
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from bench.compare.comparison import TOKENS
from bench.figures.aims import Aim, at_most
from bench.figures.progress import tell
from bench.figures.statistics import slope
from bench.figures.tables import cell, complaints, paragraphs, table
from bench.parts.part import Part
from bench.servers.on_mock_engine import forebay_on_mock_engine
from bench.servers.targets import MODEL, MockEngine, Target, send

ROLES = ("web", "worker")
STREAM_PART = 10  # of each step, one request in so many streams
HANG_UP = 0.05
INTERVAL_MS = 1.0  # between tokens, so that a stream has a middle
STEPS, STEP = 40, 1_000  # so many steps at most, of so many requests at least
FLAT_BYTES_PER_REQUEST = 200


@dataclass(slots=True)
class MemoryReport:
    """Resident megabytes after so many requests; bytes per request over the later half."""

    requests: list[int]
    rss_mb: dict[str, list[float]]
    total_mb: list[float]
    bytes_per_request: float
    bad: int
    wrong: list[str]
    hung_up: int


def growth(requests: Sequence[int], rss_mb: Sequence[float]) -> float:
    """Bytes per request over the later half."""
    half = len(requests) // 2
    return slope(requests[half:], rss_mb[half:]) * 1_000_000


def measure(requests: int) -> MemoryReport:
    with forebay_on_mock_engine() as (mock, forebay):
        target, flat = forebay.target(MODEL), Flat()
        flat.measure(mock, target, requests)
        total = [sum(values) for values in zip(*flat.rss_mb.values(), strict=True)]
        return MemoryReport(
            requests=flat.marks,
            rss_mb=flat.rss_mb,
            total_mb=total,
            bytes_per_request=growth(flat.marks, total),
            bad=flat.bad,
            wrong=sorted(flat.wrong),
            hung_up=flat.hung_up,
        )


class Flat:
    """Sends requests step by step, and looks at the processes after each."""

    def __init__(self) -> None:
        self.marks: list[int] = []
        self.rss_mb: dict[str, list[float]] = {name: [] for name in ROLES}
        self.bad = self.hung_up = 0
        self.wrong = set[str]()

    def measure(self, mock: MockEngine, target: Target, requests: int) -> None:
        mock.control(tokens=TOKENS, interval_ms=INTERVAL_MS, fail=None)
        step = max(requests // STEPS, min(STEP, requests // 4))
        self._look(target, 0)
        for done in range(step, requests + 1, step):
            self._send(target, False, step - step // STREAM_PART)
            self._send(target, True, step // STREAM_PART)
            self._look(target, done)

    def _look(self, target: Target, done: int) -> None:
        use = target.use()
        self.marks.append(done)
        for name, sizes in self.rss_mb.items():
            sizes.append(use[name].rss_mb if name in use else 0.0)
        now = ", ".join(f"{name} {sizes[-1]:.1f} MB" for name, sizes in self.rss_mb.items())
        tell(f"memory: {done} requests, {now}")

    def _send(self, target: Target, stream: bool, count: int) -> None:
        options = target.options(
            stream=stream, concurrency=32, requests=count, warmup=0.0, max_tokens=TOKENS,
            tokens=TOKENS, hang_up=HANG_UP,
        )  # fmt: skip
        report = send(options)
        self.bad += report.bad
        self.hung_up += report.hung_up
        self.wrong |= report.wrong.keys()


def section(report: MemoryReport) -> str:
    wrong = complaints(report.wrong)
    return paragraphs(_flat_table(report), _growth(report), wrong)


def _flat_table(report: MemoryReport) -> str:
    head = ("after requests", *(f"{name} MB" for name in report.rss_mb), "together MB")
    columns = [*report.rss_mb.values(), report.total_mb]
    body = (
        (f"{count:,}", *(cell(column[number]) for column in columns))
        for number, count in enumerate(report.requests)
        if number % 4 == 0 or count == report.requests[-1]
    )
    return table(head, body)


def _growth(report: MemoryReport) -> str:
    by_role = ", ".join(
        f"{name} {growth(report.requests, sizes):.0f}" for name, sizes in report.rss_mb.items()
    )
    return (
        f"One request in {STREAM_PART} streams; {report.hung_up:,} clients hung up in the middle. "
        f"Growth over the later half: {report.bytes_per_request:.0f} bytes per request "
        f"({by_role}); {report.bad} bad answers."
    )


def aims(report: MemoryReport) -> Iterator[Aim]:
    highest = max(report.total_mb)
    yield at_most("memory of web and worker, highest", highest, "MB", 400)
    text = f"memory growth over the later half of {report.requests[-1]:,} requests"
    yield at_most(text, report.bytes_per_request, "bytes/request", FLAT_BYTES_PER_REQUEST)


PART = Part(
    title="Memory",
    report=MemoryReport,
    measure=measure,
    section=section,
    full={"requests": 200_000},
    quick={"requests": 10_000},
    aims=aims,
)
