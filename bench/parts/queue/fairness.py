"""Shares of two backlogged tenants, and one tenant's wait beside another's flood."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from bench.figures import Aim, cell, complaints, median, paragraphs, ratio, table, tell
from bench.load.generator import LoadReport, Options, total
from bench.servers.forebay import Forebay, forebay_on, mock_engine
from bench.servers.targets import send

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
    with mock_engine() as mock:
        engine = {"kind": "openai", "url": mock.url, "model": "mock"}
        slots = {**dict.fromkeys(POOLS, SLOTS), "wide": WIDE_SLOTS}
        engines = {_model(name): engine | {"slots": number} for name, number in slots.items()}
        with forebay_on(engines, variables=ROOMY) as forebay:
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
    with ThreadPoolExecutor(4) as beside:
        loads = {
            weights: [
                beside.submit(send, _backlog(forebay, weights, keys[tenant], rate, seconds))
                for tenant, rate in zip(tenants, (QUIET_RATE, QUIET_RATE * TIMES), strict=True)
            ]
            for weights, tenants in POOLS.items()
        }
        reports = {name: [each.result() for each in both] for name, both in loads.items()}
    rows = forebay.rows(SERVED, begin, begin + timedelta(seconds=seconds))
    tokens = {(pool, tenant): number for pool, tenant, number in rows}
    return [
        _shared(
            weights,
            [tokens.get((_model(weights), tenant), 0) / seconds for tenant in tenants],
            reports[weights],
        )
        for weights, tenants in POOLS.items()
    ]


def _shared(weights: str, tokens_per_s: Sequence[float], reports: Sequence[LoadReport]) -> Shared:
    modest, busy = tokens_per_s
    for report in reports:
        report.bad -= report.wrong.pop(LATE, 0)  # those still wait, as they should
    return Shared(weights, int(weights.partition(":")[2]), modest, busy, **total(reports))


def _backlog(forebay: Forebay, pool: str, key: str, rate: float, seconds: float) -> Options:
    return replace(forebay.target(_model(pool)), key=key).options(
        stream=True, rate=rate, seconds=seconds, warmup=WARMUP_S, grace=0.5, tokens=TOKENS,
        max_tokens=TOKENS,
    )  # fmt: skip


def _waits(forebay: Forebay, keys: dict[str, str], seconds: float) -> Waited:
    load = _backlog(forebay, "wide", keys["modest"], WIDE_RATE, seconds)
    modest = replace(load, warmup=1.0, grace=20.0, tokens=SHORT, max_tokens=SHORT)
    alone = send(modest)
    flood = replace(
        modest, key=keys["flood"], rate=0.0, concurrency=FLOOD, seconds=seconds + 3, spread=1.0
    )
    with ThreadPoolExecutor(1) as thread:
        flood_load = thread.submit(send, flood)
        beside = send(replace(modest, warmup=3.0))
        counts = total((alone, beside, flood_load.result()))
    return Waited(
        alone.ttft_p50_ms,
        alone.ttft_p95_ms,
        beside.ttft_p50_ms,
        beside.ttft_p95_ms,
        counts["bad"],
        counts["all"],
    )


def section(report: FairnessReport) -> str:
    wrong = complaints(f"{one.weights}: {text}" for one in report.shares for text in one.wrong)
    return paragraphs(_shares_table(report), *_waits_table(report), wrong, METHOD)


def _shares_table(report: FairnessReport) -> str:
    rows = []
    for weights in POOLS:
        shares = [one for one in report.shares if one.weights == weights]
        both = [median(getattr(one, name) for one in shares) for name in ("modest", "busy")]
        off = report.off(weights)
        shown = "" if off is None else f"{off:.3f}"
        rows.append((weights, f"1:{TIMES}", " and ".join(map(cell, both)), shown, _bad(shares)))
    head = ("weights", "arrivals", "tokens/s", "off the weights by a factor of", "bad")
    return table(head, rows)


def _waits_table(report: FairnessReport) -> tuple[str, str]:
    rows = []
    for load, name in (("alone", "alone"), ("beside", "beside another one's flood")):
        fields = (f"{load}_p50", f"{load}_p95")
        waits = [median(getattr(one, field) for one in report.waits) for field in fields]
        rows.append((name, *map(cell, waits)))
    head = ("first token of a tenant", "p50 ms", "p95 ms")
    return table(head, rows), f"{_bad(report.waits)} bad."


def _bad(slices: Sequence[Shared | Waited]) -> str:
    return f"{sum(one.bad for one in slices)} of {sum(one.all for one in slices):,}"


def aims(report: FairnessReport) -> Iterator[Aim]:
    for weights in POOLS:
        text = f"two backlogged tenants, weights {weights}: tokens/s off the weights by"
        yield Aim(text, report.off(weights), "x", 1.05)
    text = "a tenant's p95 wait for the first token beside a flood, against alone"
    yield Aim(text, report.moved, "x", 1.5)
