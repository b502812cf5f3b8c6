"""python -m bench.parts.fairness: who gets how much, and who waits for whom.

Two tenants, one with ten times the arrivals of the other, both with more than they can get, on two
pools at once: with equal weights, and with 4 for the busy one (a VIP's). Then one tenant's modest
requests alone, and beside another one's flood. Then the pop of a queue in which 1,000 tenants wait.
"""

import json
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from bench.compare.comparison import tell
from bench.figures.statistics import median, ratio
from bench.figures.tables import cell, table
from bench.load.generator import LoadReport, Options
from bench.parts import apart
from bench.parts.pops import PopReport
from bench.servers.forebay import Forebay
from bench.servers.targets import MockEngine, send

SLOTS, TOKENS, INTERVAL_MS = 8, 64, 20.0  # of a pool: 6.25 requests/s
QUIET_RATE, TIMES = 4.0, 10  # its half are 3.1 requests/s
POOLS = {"1:1": ("modest", "busy"), "1:4": ("modest", "busy-vip")}
WIDE_SLOTS, WIDE_RATE, FLOOD = 24, 8.0, 96  # where one tenant's wait is measured
LATE = "no answer within the grace"
SHORT, PREFILL_MS = 16, 100.0  # its answers
SERVED = """
import json
from django.db.models import Sum
from inference.models import Usage
rows = Usage.objects.filter(completion__settled_at__range=({begin!r}, {end!r}))
rows = rows.values_list("pool", "completion__tenant__name")
print(json.dumps(list(rows.annotate(Sum("completion_tokens")))))
"""
WARMUP_S = 6.0
METHOD = f"""\
Shares: {TIMES * QUIET_RATE:g} requests/s of one tenant beside {QUIET_RATE:g} of the other, where
the mock engine ({SLOTS} slots, answers of {TOKENS} tokens, one each {INTERVAL_MS:g} ms) can serve
{SLOTS / TOKENS * 1000 / INTERVAL_MS:g}; the tokens of answers that were settled in the window, as
the usage rows have them. Both pools at once. Flood:
{WIDE_RATE:g} requests/s of one tenant on {WIDE_SLOTS} slots, alone and while
another one always has {FLOOD} requests running or waiting; answers of {SHORT} tokens, and the mock
engine takes {PREFILL_MS:g} ms before the first. A pop takes one request of 1,000
tenants', each with requests in line: from Python, and by Valkey's own count."""


@dataclass(slots=True)
class Shared:
    """Of one pool: tokens a second of both tenants, `weight` of the busy one."""

    weights: str
    weight: int
    modest: float
    busy: float
    bad: int
    all: int
    wrong: list[str] = field(default_factory=list)

    @property
    def off(self) -> float | None:
        """How far the served tokens are from the weights, as a factor: 1 is exact."""
        found = ratio(self.busy, self.modest * self.weight)
        return max(found, 1 / found) if found else None


@dataclass(slots=True)
class Waited:
    """In ms until the first token."""

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
    pops: PopReport | None = None

    def off(self, weights: str) -> float | None:
        return median(one.off for one in self.shares if one.weights == weights)

    @property
    def moved(self) -> float | None:
        """The p95 wait beside the flood as a multiple of that alone."""
        return median(ratio(one.beside_p95, one.alone_p95) for one in self.waits)


def measured(rounds: int, seconds: float) -> FairnessReport:
    report = FairnessReport(rounds, seconds)
    with tempfile.TemporaryDirectory(prefix="forebay-bench-") as name:
        _measure(report, Path(name))
    report.pops = apart.measured_apart("bench.parts.pops", PopReport, rounds=1, seconds=3.0)
    return report


def _measure(report: FairnessReport, folder: Path) -> None:
    folder.chmod(0o755)  # PostgreSQL may run as another user
    mock = MockEngine(folder)
    slots = {**dict.fromkeys(POOLS, SLOTS), "wide": WIDE_SLOTS}
    engines = {
        _model(name): {"kind": "openai", "url": mock.url, "model": "mock", "slots": number}
        for name, number in slots.items()
    }
    # Nobody is turned away: what waits is what is looked at.
    roomy = {
        "FOREBAY_QUEUE_LIMITS": '{"realtime": {"waiting": 100000, "wait_s": 3600}}',
        "FOREBAY_CONNECTIONS_PER_ADDRESS": "10000",
    }
    forebay = Forebay(folder, engines, variables=roomy)
    try:
        keys = {name: forebay.key_of(name) for name in ("modest", "busy", "flood")}
        keys["busy-vip"] = forebay.key_of("busy-vip", "--tier", "vip")
        for number in range(report.rounds):
            tell(f"fairness round {number + 1}/{report.rounds}")
            mock.control(tokens=SHORT, interval_ms=INTERVAL_MS, delay_ms=PREFILL_MS)
            report.waits.append(_waits(forebay, keys, report.seconds / 4))
            mock.control(tokens=TOKENS, interval_ms=INTERVAL_MS, delay_ms=0)
            report.shares += _shares(forebay, keys, report.seconds)
    finally:
        forebay.stop()
        mock.stop()


def _model(name: str) -> str:
    return "pool-" + name.replace(":", "-")


def _shares(forebay: Forebay, keys: dict[str, str], seconds: float) -> list[Shared]:
    begin = datetime.now(UTC) + timedelta(seconds=WARMUP_S)
    end = begin + timedelta(seconds=seconds)
    with ThreadPoolExecutor(4) as beside:
        running = {
            weights: [
                beside.submit(send, _backlog(forebay, weights, keys[tenant], rate, seconds))
                for tenant, rate in zip(tenants, (QUIET_RATE, QUIET_RATE * TIMES), strict=True)
            ]
            for weights, tenants in POOLS.items()
        }
        reports = {name: [each.result() for each in both] for name, both in running.items()}
    told = forebay.manage("shell", "-c", SERVED.format(begin=str(begin), end=str(end)))
    tokens = {(pool, tenant): number for pool, tenant, number in json.loads(told.splitlines()[-1])}
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


def _backlog(forebay: Forebay, weights: str, key: str, rate: float, seconds: float) -> Options:
    target = forebay.target(_model(weights))
    return Options(
        url=target.url,
        key=key,
        model=target.model,
        stream=True,
        rate=rate,
        seconds=seconds,
        warmup=WARMUP_S,
        grace=0.5,
        tokens=TOKENS,
        max_tokens=TOKENS,
    )


def _waits(forebay: Forebay, keys: dict[str, str], seconds: float) -> Waited:
    asked = replace(
        _backlog(forebay, "wide", keys["modest"], WIDE_RATE, seconds),
        warmup=1.0,
        grace=20.0,
        tokens=SHORT,
        max_tokens=SHORT,
    )
    alone = send(asked)
    flood = replace(
        asked, key=keys["flood"], rate=0.0, concurrency=FLOOD, seconds=seconds + 3, spread=1.0
    )
    with ThreadPoolExecutor(1) as flooding:
        other = flooding.submit(send, flood)
        beside = send(replace(asked, warmup=3.0))
        reports = (alone, beside, other.result())
    return Waited(
        alone.ttft_p50_ms,
        alone.ttft_p95_ms,
        beside.ttft_p50_ms,
        beside.ttft_p95_ms,
        bad=sum(report.bad for report in reports),
        all=sum(report.all for report in reports),
    )


def section(report: FairnessReport) -> str:
    said = [_shares_table(report), _waits_table(report)]
    if (pops := report.pops) is not None:
        head = ("1,000 tenants wait: a pop", "p50 ms", "p99 ms", "Valkey's own ms")
        figures = map(cell, (pops.p50_ms, pops.p99_ms, pops.server_ms))
        said.append(table(head, [(f"{pops.number:,} pops", *figures)]))
    wrong = [f"* {one.weights}: `{text}`" for one in report.shares for text in one.wrong]
    return "\n\n".join([*said, *wrong, METHOD])


def _shares_table(report: FairnessReport) -> str:
    head = ("weights", "arrivals", "tokens/s", "off the weights by a factor of", "bad")
    rows = []
    for weights in POOLS:
        found = [one for one in report.shares if one.weights == weights]
        both = [median(getattr(one, name) for one in found) for name in ("modest", "busy")]
        bad = f"{sum(one.bad for one in found)} of {sum(one.all for one in found):,}"
        off = report.off(weights)
        shown = "" if off is None else f"{off:.3f}"
        rows.append((weights, f"1:{TIMES}", " and ".join(map(cell, both)), shown, bad))
    return table(head, rows)


def _waits_table(report: FairnessReport) -> str:
    head = ("first token of a tenant", "p50 ms", "p95 ms")
    rows = [
        (name, *(cell(median(getattr(one, f"{what}_{p}") for one in report.waits)) for p in PS))
        for what, name in (("alone", "alone"), ("beside", "beside another one's flood"))
    ]
    bad = f"{sum(one.bad for one in report.waits)} of {sum(one.all for one in report.waits):,} bad."
    return table(head, rows) + f"\n\n{bad}"


PS = ("p50", "p95")


def main() -> None:
    apart.run("bench.parts.fairness", measured, section, rounds=1, seconds=60.0)


if __name__ == "__main__":
    main()
