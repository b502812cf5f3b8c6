"""Shares of two backlogged tenants, and one tenant's wait beside another's flood.

Two tenants, one with ten times the arrivals of the other, both with more than they can get, on two
pools at once: with equal weights, and with 4 for the busy one (a VIP's). Then one tenant's modest
requests alone, and beside another one's flood.
"""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from bench.figures.aims import Aim, at_most
from bench.figures.progress import tell
from bench.figures.statistics import median, ratio
from bench.figures.tables import cell, complaints, paragraphs, table
from bench.load.generator import LoadReport, Options
from bench.parts.part import Part, timed
from bench.servers.child import temporary_folder
from bench.servers.forebay import Forebay
from bench.servers.targets import MockEngine, send

SLOTS, TOKENS, INTERVAL_MS = 8, 64, 20.0  # of a pool: 6.25 requests/s
QUIET_RATE, TIMES = 4.0, 10  # its half are 3.1 requests/s
POOLS = {"1:1": ("modest", "busy"), "1:4": ("modest", "busy-vip")}
WIDE_SLOTS, WIDE_RATE, FLOOD = 24, 8.0, 96  # where one tenant's wait is measured
LATE = "no answer within the grace"
SHORT, PREFILL_MS = 16, 100.0  # its answers
WARMUP_S = 6.0
# Nobody is turned away: the bench looks at what waits.
ROOMY = {
    "FOREBAY_QUEUE_LIMITS": '{"realtime": {"waiting": 100000, "wait_s": 3600}}',
    "FOREBAY_CONNECTIONS_PER_ADDRESS": "10000",
}
SERVED = """
    select u.pool, t.name, sum(u.completion_tokens)
    from inference_usage u join inference_completion c on c.id = u.completion_id
        join tenants_tenant t on t.id = u.tenant_id
    where c.settled_at between %s and %s group by 1, 2"""
METHOD = f"""\
Shares: {TIMES * QUIET_RATE:g} requests/s of one tenant beside {QUIET_RATE:g} of the other, where
the mock engine ({SLOTS} slots, answers of {TOKENS} tokens, one each {INTERVAL_MS:g} ms) can serve
{SLOTS / TOKENS * 1000 / INTERVAL_MS:g}; the tokens of answers that were settled in the window, as
the usage rows have them. Both pools at once. Flood:
{WIDE_RATE:g} requests/s of one tenant on {WIDE_SLOTS} slots, alone and while
another one always has {FLOOD} requests running or waiting; answers of {SHORT} tokens, and the mock
engine takes {PREFILL_MS:g} ms before the first."""


@dataclass(slots=True)
class Shared:
    """Tokens a second of both tenants of one pool; `weight` is that of the busy one."""

    weights: str
    weight: int
    modest: float
    busy: float
    bad: int
    all: int
    wrong: list[str] = field(default_factory=list)

    @property
    def off(self) -> float | None:
        """The served tokens against the weights, as a factor: 1 is exact."""
        factor = ratio(self.busy, self.modest * self.weight)
        return max(factor, 1 / factor) if factor else None


@dataclass(slots=True)
class Waited:
    """Milliseconds until the first token."""

    alone_p50: float | None
    alone_p95: float | None
    beside_p50: float | None
    beside_p95: float | None
    bad: int
    all: int


@dataclass(slots=True)
class FairnessReport:
    rounds: int
    seconds: float
    shares: list[Shared] = field(default_factory=list)
    waits: list[Waited] = field(default_factory=list)

    def off(self, weights: str) -> float | None:
        return median(one.off for one in self.shares if one.weights == weights)

    @property
    def moved(self) -> float | None:
        """The p95 wait beside the flood as a multiple of that alone."""
        return median(ratio(one.beside_p95, one.alone_p95) for one in self.waits)


def measure(rounds: int, seconds: float) -> FairnessReport:
    report = FairnessReport(rounds, seconds)
    with temporary_folder() as folder, ExitStack() as stack:
        mock = MockEngine(folder)
        stack.callback(mock.stop)
        slots = {**dict.fromkeys(POOLS, SLOTS), "wide": WIDE_SLOTS}
        engines = {
            _model(name): {"kind": "openai", "url": mock.url, "model": "mock", "slots": number}
            for name, number in slots.items()
        }
        forebay = Forebay(folder, engines, variables=ROOMY)
        stack.callback(forebay.stop)
        keys = {name: forebay.key_of(name) for name in ("modest", "busy", "flood")}
        keys["busy-vip"] = forebay.key_of("busy-vip", "--tier", "vip")
        for number in range(rounds):
            tell(f"fairness round {number + 1}/{rounds}")
            mock.control(tokens=SHORT, interval_ms=INTERVAL_MS, delay_ms=PREFILL_MS)
            report.waits.append(_waits(forebay, keys, seconds / 4))
            mock.control(tokens=TOKENS, interval_ms=INTERVAL_MS, delay_ms=0)
            report.shares += _shares(forebay, keys, seconds)
    return report


def _model(pool: str) -> str:
    return "pool-" + pool.replace(":", "-")


def _shares(forebay: Forebay, keys: dict[str, str], seconds: float) -> list[Shared]:
    begin = datetime.now(UTC) + timedelta(seconds=WARMUP_S)
    end = begin + timedelta(seconds=seconds)
    with ThreadPoolExecutor(4) as beside:
        loads = {
            weights: [
                beside.submit(send, _backlog(forebay, weights, keys[tenant], rate, seconds))
                for tenant, rate in zip(tenants, (QUIET_RATE, QUIET_RATE * TIMES), strict=True)
            ]
            for weights, tenants in POOLS.items()
        }
        reports = {name: [each.result() for each in both] for name, both in loads.items()}
    rows = forebay.rows(SERVED, begin, end)
    tokens = {(pool, tenant): number for pool, tenant, number in rows}
    return [
        _shared(
            weights,
            [tokens.get((_model(weights), tenant), 0) / seconds for tenant in POOLS[weights]],
            reports[weights],
        )
        for weights in POOLS
    ]


def _shared(weights: str, tokens_per_s: Sequence[float], reports: Sequence[LoadReport]) -> Shared:
    modest, busy = tokens_per_s
    late = sum(report.wrong.pop(LATE, 0) for report in reports)
    return Shared(
        weights=weights,
        weight=int(weights.partition(":")[2]),
        modest=modest,
        busy=busy,
        bad=sum(report.bad for report in reports) - late,  # those still wait, as they should
        all=sum(report.all for report in reports),
        wrong=sorted({text for report in reports for text in report.wrong}),
    )


def _backlog(forebay: Forebay, pool: str, key: str, rate: float, seconds: float) -> Options:
    return replace(forebay.target(_model(pool)), key=key).options(
        stream=True, rate=rate, seconds=seconds, warmup=WARMUP_S, grace=0.5, tokens=TOKENS,
        max_tokens=TOKENS,
    )  # fmt: skip


def _waits(forebay: Forebay, keys: dict[str, str], seconds: float) -> Waited:
    modest = replace(
        _backlog(forebay, "wide", keys["modest"], WIDE_RATE, seconds),
        warmup=1.0,
        grace=20.0,
        tokens=SHORT,
        max_tokens=SHORT,
    )
    alone = send(modest)
    flood = replace(
        modest, key=keys["flood"], rate=0.0, concurrency=FLOOD, seconds=seconds + 3, spread=1.0
    )
    with ThreadPoolExecutor(1) as thread:
        flood_load = thread.submit(send, flood)
        beside = send(replace(modest, warmup=3.0))
        reports = (alone, beside, flood_load.result())
    return Waited(
        alone.ttft_p50_ms,
        alone.ttft_p95_ms,
        beside.ttft_p50_ms,
        beside.ttft_p95_ms,
        bad=sum(report.bad for report in reports),
        all=sum(report.all for report in reports),
    )


def section(report: FairnessReport) -> str:
    wrong = complaints(f"{one.weights}: {text}" for one in report.shares for text in one.wrong)
    return paragraphs(_shares_table(report), *_waits_table(report), wrong, METHOD)


def _shares_table(report: FairnessReport) -> str:
    head = ("weights", "arrivals", "tokens/s", "off the weights by a factor of", "bad")
    rows = []
    for weights in POOLS:
        shares = [one for one in report.shares if one.weights == weights]
        both = [median(getattr(one, name) for one in shares) for name in ("modest", "busy")]
        bad = f"{sum(one.bad for one in shares)} of {sum(one.all for one in shares):,}"
        off = report.off(weights)
        shown = "" if off is None else f"{off:.3f}"
        rows.append((weights, f"1:{TIMES}", " and ".join(map(cell, both)), shown, bad))
    return table(head, rows)


def _waits_table(report: FairnessReport) -> tuple[str, str]:
    names = {"alone": "alone", "beside": "beside another one's flood"}
    rows = []
    for load, name in names.items():
        waits = [
            median(getattr(one, f"{load}_{percent}") for one in report.waits)
            for percent in ("p50", "p95")
        ]
        rows.append((name, *map(cell, waits)))
    bad = f"{sum(one.bad for one in report.waits)} of {sum(one.all for one in report.waits):,} bad."
    return table(("first token of a tenant", "p50 ms", "p95 ms"), rows), bad


def aims(report: FairnessReport) -> Iterator[Aim]:
    for weights in POOLS:
        text = f"two backlogged tenants, weights {weights}: tokens/s off the weights by"
        yield at_most(text, report.off(weights), "x", 1.05)
    text = "a tenant's p95 wait for the first token beside a flood, against alone"
    yield at_most(text, report.moved, "x", 1.5)


PART = Part("Fair shares", FairnessReport, measure, section, timed(1, 60.0), timed(1, 20.0), aims)
