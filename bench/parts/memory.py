"""Memory of web and worker over many requests, of which some stream or are left."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from statistics import linear_regression

from bench.compare.comparison import TOKENS
from bench.figures import Aim, cell, complaints, paragraphs, table, tell
from bench.servers.forebay import forebay_on_mock_engine
from bench.servers.targets import Target, send

ROLES = ("web", "worker")
STREAM_PART = 10  # of each step, one request in so many streams
HANG_UP = 0.05
INTERVAL_MS = 1.0  # between tokens, so that a stream has a middle
STEPS, STEP = 40, 1_000  # so many steps at most, of so many requests at least
FLAT_BYTES_PER_REQUEST = 200


@dataclass(slots=True)
class MemoryReport:
    """Megabytes after so many requests; bytes per request over the later half."""

    requests: list[int] = field(default_factory=list)
    memory_mb: dict[str, list[float]] = field(default_factory=lambda: {name: [] for name in ROLES})
    total_mb: list[float] = field(default_factory=list)
    bytes_per_request: float = 0.0
    bad: int = 0
    wrong: list[str] = field(default_factory=list)
    hung_up: int = 0


def growth(requests: Sequence[int], memory_mb: Sequence[float]) -> float:
    """Bytes per request over the later half."""
    half = len(requests) // 2
    return linear_regression(requests[half:], memory_mb[half:]).slope * 1_000_000


def measure(requests: int) -> MemoryReport:
    report = MemoryReport()
    with forebay_on_mock_engine() as (mock, forebay):
        target = forebay.target()
        mock.control(tokens=TOKENS, interval_ms=INTERVAL_MS, fail=None)
        step = max(requests // STEPS, min(STEP, requests // 4))
        _look(report, target, 0)
        for done in range(step, requests + 1, step):
            _send(report, target, False, step - step // STREAM_PART)
            _send(report, target, True, step // STREAM_PART)
            _look(report, target, done)
    report.bytes_per_request = growth(report.requests, report.total_mb)
    return report


def _look(report: MemoryReport, target: Target, done: int) -> None:
    use = target.use()
    now = {name: use[name].memory_mb if name in use else 0.0 for name in ROLES}
    report.requests.append(done)
    for name, size in now.items():
        report.memory_mb[name].append(size)
    report.total_mb.append(sum(now.values()))
    tell(f"memory: {done} requests, MB: {now}")


def _send(report: MemoryReport, target: Target, stream: bool, count: int) -> None:
    options = target.options(
        stream=stream, concurrency=32, requests=count, warmup=0.0, max_tokens=TOKENS,
        tokens=TOKENS, hang_up=HANG_UP,
    )  # fmt: skip
    load = send(options)
    report.bad += load.bad
    report.hung_up += load.hung_up
    report.wrong = sorted({*report.wrong, *load.wrong})


def section(report: MemoryReport) -> str:
    head = ("after requests", *(f"{name} MB" for name in report.memory_mb), "together MB")
    columns = [*report.memory_mb.values(), report.total_mb]
    body = (
        (f"{count:,}", *(cell(column[number]) for column in columns))
        for number, count in enumerate(report.requests)
        if number % 4 == 0 or count == report.requests[-1]
    )
    by_role = ", ".join(
        f"{name} {growth(report.requests, sizes):.0f}" for name, sizes in report.memory_mb.items()
    )
    text = (
        f"One request in {STREAM_PART} streams; {report.hung_up:,} clients hung up in the middle. "
        f"Growth over the later half: {report.bytes_per_request:.0f} bytes per request "
        f"({by_role}); {report.bad} bad answers."
    )
    return paragraphs(table(head, body), text, complaints(report.wrong))


def aims(report: MemoryReport) -> Iterator[Aim]:
    yield Aim("memory of web and worker, highest", max(report.total_mb), "MB", 400)
    text = f"memory growth over the later half of {report.requests[-1]:,} requests"
    yield Aim(text, report.bytes_per_request, "bytes/request", FLAT_BYTES_PER_REQUEST)
