"""python -m bench.parts.memory [--requests N] [--held N]: resident memory of web and worker.

Flat over many requests, of which one in ten streams and one client in twenty hangs up in the
middle? And what does it take to hold many open streams, or many idle sockets of the chat?
"""

import argparse
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import msgspec

from bench.compare.comparison import TOKENS, tell
from bench.figures.statistics import slope
from bench.figures.tables import cell, table
from bench.load.generator import Options
from bench.parts import memory_held
from bench.parts.memory_held import Held
from bench.servers.forebay import Forebay
from bench.servers.targets import MODEL, MockEngine, Target, send

FULL, FEW = 200_000, 10_000
HELD, FEW_HELD = 1_000, 200
ROLES = ("web", "worker")
STREAM_PART = 10  # of each step, one request in so many streams
HANG_UP = 0.05
INTERVAL_MS = 1.0  # between tokens, so that a stream has a middle
STEPS, STEP = 40, 1_000  # so many steps at most, of so many requests at least


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
    streams: Held
    sockets: Held

    def growth(self, role: str) -> float:
        """Bytes per request over the later half, of one process."""
        return growth(self.requests, self.rss_mb[role])


def growth(requests: Sequence[int], rss_mb: Sequence[float]) -> float:
    """Bytes per request over the later half."""
    half = len(requests) // 2
    return slope(requests[half:], rss_mb[half:]) * 1_000_000


def measured(requests: int, held: int) -> MemoryReport:
    with tempfile.TemporaryDirectory(prefix="forebay-bench-") as folder:
        Path(folder).chmod(0o755)  # PostgreSQL may run as another user
        mock = MockEngine(Path(folder))
        try:
            engine = {"kind": "openai", "url": mock.url, "slots": max(64, held)}
            forebay = Forebay(Path(folder), {MODEL: engine})
            try:
                return _measured(mock, forebay, requests, held)
            finally:
                forebay.stop()
        finally:
            mock.stop()


def _measured(mock: MockEngine, forebay: Forebay, requests: int, held: int) -> MemoryReport:
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
        streams=memory_held.streams(mock, target, held),
        sockets=memory_held.sockets(forebay, held),
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
        self.look(target, 0)
        for done in range(step, requests + 1, step):
            self.send(target, False, step - step // STREAM_PART)
            self.send(target, True, step // STREAM_PART)
            self.look(target, done)

    def look(self, target: Target, done: int) -> None:
        use = target.use()
        self.marks.append(done)
        for name, sizes in self.rss_mb.items():
            sizes.append(use[name].rss_mb if name in use else 0.0)
        now = ", ".join(f"{name} {sizes[-1]:.1f} MB" for name, sizes in self.rss_mb.items())
        tell(f"memory: {done} requests, {now}")

    def send(self, target: Target, stream: bool, count: int) -> None:
        report = send(options(target, stream, count))
        self.bad += report.bad
        self.hung_up += report.hung_up
        self.wrong |= report.wrong.keys()


def options(target: Target, stream: bool, count: int) -> Options:
    return Options(
        url=target.url,
        key=target.key,
        model=target.model,
        stream=stream,
        concurrency=32,
        requests=count,
        warmup=0.0,
        max_tokens=TOKENS,
        tokens=TOKENS,
        hang_up=HANG_UP,
    )


# Tables ------------------------------------------------------------------------------------------
def section(report: MemoryReport) -> str:
    return "\n\n".join((flat_table(report), held_table(report)))


def flat_table(report: MemoryReport) -> str:
    head = ("after requests", *(f"{name} MB" for name in report.rss_mb), "together MB")
    columns = [*report.rss_mb.values(), report.total_mb]
    body = (
        (f"{count:,}", *(cell(column[number]) for column in columns))
        for number, count in enumerate(report.requests)
        if number % 4 == 0 or count == report.requests[-1]
    )
    by_role = ", ".join(f"{name} {report.growth(name):.0f}" for name in report.rss_mb)
    return (
        f"{table(head, body)}\n\nOne request in {STREAM_PART} streams; {report.hung_up:,} clients "
        f"hung up in the middle. Growth over the later half: {report.bytes_per_request:.0f} bytes "
        f"per request ({by_role}); {report.bad} bad answers."
    )


def held_table(report: MemoryReport) -> str:
    head = ("open", "at once", "bad", *(f"{name} MB: before, highest, KB each" for name in ROLES))

    def cells(held: Held, what: str) -> tuple[str, ...]:
        return (
            f"{held.number:,} {what}",
            f"{held.at_once:,}",
            str(held.bad),
            *(
                f"{cell(held.before_mb[role])}, {cell(held.highest_mb[role])}, "
                f"{cell(held.kb_each(role))}"
                for role in ROLES
            ),
        )

    return table(head, [cells(report.streams, "streams"), cells(report.sockets, "idle sockets")])


def read_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.parts.memory")
    parser.add_argument("--requests", type=int, default=FULL)
    parser.add_argument("--held", type=int, default=HELD, help="open streams, and idle sockets")
    parser.add_argument("--json", type=Path, help="where to write the figures")
    return parser.parse_args()


def main() -> None:
    options = read_options()
    report = measured(options.requests, options.held)
    print(section(report))
    if options.json:
        options.json.write_text(msgspec.json.encode(asdict(report)).decode())


if __name__ == "__main__":
    main()
