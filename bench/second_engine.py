"""python -m bench.second_engine [--rounds N] [--seconds S]: what a second engine adds to a pool.

Two mock engines of 8 slots each. 32 streams ask all the time: of the first engine alone, then of
both after the second has joined the pool, then while it drains. A slower second engine shows how
the two share the work.
"""

import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from bench.apart import run
from bench.cells import cell, table
from bench.figures import median, ratio
from bench.load import LoadReport, Options
from bench.targets import MODEL, MockEngine, send
from bench.under_test import Forebay

SLOTS, STREAMS = 8, 32
TOKENS, INTERVAL_MS, SLOWER_MS = 64, 20.0, 40.0
SECOND = "second"
ADD = """
from inference.models import Engine, Pool
pool = Pool.objects.get()
Engine.add(pool, "second", by="bench", kind="openai", url="{url}", slots={slots})
"""
REMOVE = """
from inference.models import Engine
Engine.objects.get(name="second").remove(by="bench")
"""
DRAIN = """
from inference.models import Engine
Engine.objects.get(name="second").drain(by="bench")
"""
IN_FORCE_S = 6.0  # the worker of a new engine has started


@dataclass(slots=True)
class Joined:
    """Tokens a second of one round; `bad` counts all three loads."""

    alone: float
    both: float
    second_share: float  # of the requests, with a second engine at half the speed
    bad: int
    all: int


@dataclass(slots=True)
class JoinedReport:
    rounds: list[Joined]


def measured(rounds: int, seconds: float) -> JoinedReport:
    with tempfile.TemporaryDirectory(prefix="forebay-bench-") as name:
        folder = Path(name)
        folder.chmod(0o755)  # PostgreSQL may run as another user
        (folder / "second").mkdir()
        first, second = MockEngine(folder), MockEngine(folder / "second")
        engine = {"kind": "openai", "url": first.url, "slots": SLOTS}
        forebay = Forebay(folder, {MODEL: engine})
        try:
            first.control(tokens=TOKENS, interval_ms=INTERVAL_MS)
            return JoinedReport([_round(forebay, first, second, seconds) for _ in range(rounds)])
        finally:
            forebay.stop()
            first.stop()
            second.stop()


def _round(forebay: Forebay, first: MockEngine, second: MockEngine, seconds: float) -> Joined:
    options = _options(forebay, seconds)
    second.control(tokens=TOKENS, interval_ms=INTERVAL_MS)
    alone = send(options)
    forebay.manage("shell", "-c", ADD.format(url=second.url, slots=SLOTS))
    time.sleep(IN_FORCE_S)
    both = send(options)
    share, drained = _slower_and_drained(forebay, first, second, options)
    forebay.manage("shell", "-c", REMOVE)
    reports = (alone, both, drained)
    return Joined(
        alone.tokens_per_s,
        both.tokens_per_s,
        share,
        sum(report.bad for report in reports),
        sum(report.all for report in reports),
    )


def _slower_and_drained(
    forebay: Forebay, first: MockEngine, second: MockEngine, options: Options
) -> tuple[float, LoadReport]:
    """The second one's share of what begins; after that it drains, under the same load."""
    of_first, of_second = first.control(), second.control(interval_ms=SLOWER_MS)
    with ThreadPoolExecutor(1) as asking:
        asked = asking.submit(send, options)
        time.sleep(options.warmup + options.seconds / 2)
        by_first = first.control()["requests"] - of_first["requests"]
        by_second = second.control()["requests"] - of_second["requests"]
        forebay.manage("shell", "-c", DRAIN)
        return by_second / max(1, by_first + by_second), asked.result()


def _options(forebay: Forebay, seconds: float) -> Options:
    target = forebay.target(MODEL)
    return Options(
        url=target.url,
        key=target.key,
        model=target.model,
        stream=True,
        concurrency=STREAMS,
        seconds=seconds,
        warmup=1.0,
        tokens=TOKENS,
        max_tokens=TOKENS,
    )


def section(report: JoinedReport) -> str:
    head = ("one engine tokens/s", "two tokens/s", "x", "share of one at half the speed", "bad")
    rounds = report.rounds
    alone, both = (median(getattr(one, name) for one in rounds) for name in ("alone", "both"))
    line = (
        cell(alone),
        cell(both),
        cell(ratio(both, alone)),
        cell(median(one.second_share for one in rounds)),
        f"{sum(one.bad for one in rounds)} of {sum(one.all for one in rounds)}",
    )
    return table(head, [line])


if __name__ == "__main__":
    run("bench.second_engine", measured, section, rounds=2, seconds=10.0)
