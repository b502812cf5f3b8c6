"""Resident memory of web and worker over many requests: is it small, and does it stay flat?"""

from dataclasses import dataclass

from bench.compare import TOKENS, tell
from bench.figures import slope
from bench.load import Options
from bench.targets import MockEngine, Target, send

ROLES = ("web", "worker")
# Of each step, one request in ten streams.
STREAM_PART = 10


@dataclass(slots=True)
class MemoryReport:
    """Resident megabytes after so many requests; bytes per request over the later half."""

    requests: list[int]
    rss_mb: dict[str, list[float]]
    total_mb: list[float]
    bytes_per_request: float
    bad: int
    wrong: list[str]


def measure(mock: MockEngine, target: Target, requests: int, step: int) -> MemoryReport:
    mock.control(tokens=TOKENS, interval_ms=0, fail=None)
    done, bad, wrong = 0, 0, set[str]()
    marks: list[int] = []
    samples: dict[str, list[float]] = {name: [] for name in ROLES}
    while True:
        use = target.use()
        marks.append(done)
        for name in ROLES:
            samples[name].append(use[name].rss_mb if name in use else 0.0)
        sizes = ", ".join(f"{name} {values[-1]:.0f} MB" for name, values in samples.items())
        tell(f"memory: {done} requests, {sizes}")
        if done >= requests:
            break
        for stream, count in ((False, step - step // STREAM_PART), (True, step // STREAM_PART)):
            report = send(options(target, stream, count))
            bad += report.bad
            wrong |= report.wrong.keys()
        done += step
    total = [sum(values) for values in zip(*samples.values(), strict=True)]
    half = len(marks) // 2
    growth = slope(marks[half:], total[half:]) * 1_000_000
    return MemoryReport(marks, samples, total, growth, bad, sorted(wrong))


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
    )
