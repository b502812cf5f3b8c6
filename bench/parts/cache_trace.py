"""Hit rates of both levels of kept answers, by a trace of requests: each tenant begins empty."""

import asyncio
import random
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

import aiohttp

from bench.figures import Aim, Spread, cell, paragraphs, table, tell
from bench.servers.forebay import Forebay, forebay_on_mock_engine
from bench.servers.targets import MODEL, MockEngine

SEED = 7
EXPONENTS = (0.8, 1.0, 1.2)
AT_ONCE, ALONE = 16, 400
DETERMINISTIC = 0.9  # of the requests; the others ask at temperature 0.7
ENGINE_MS = 20.0
HITS = ("l1", "l2", "shared")
_COUNTS = """
    select u.cache, count(*) from inference_usage u join tenants_tenant t on t.id = u.tenant_id
    where t.name = %s group by 1"""
METHOD = f"""\
{{requests}} requests for each exponent of Zipf's law (a tenant each), drawn with the seed {{seed}}
from {{prompts}} prompts, {AT_ONCE} at once, two web processes; {DETERMINISTIC:.0%} of them at
temperature 0 with `x-forebay-cache: use`, the others at 0.7, which nobody keeps. The engine takes
{ENGINE_MS:g} ms. Levels are those of the usage rows, as parts of the requests that looked for a
kept one. Times are whole requests at the client; alone: {ALONE} in a row, one at a time, with an
engine that takes no time."""


@dataclass(slots=True)
class Row:
    exponent: float
    counts: dict[str, int]  # by level
    engine: int  # requests that reached it
    hit_p50_ms: float | None
    miss_p50_ms: float | None

    def part(self, *levels: str) -> float:
        """Returns the share of these levels in the requests that looked for a kept answer."""
        looked = sum(self.counts.values()) - self.counts.get("", 0)
        return sum(self.counts.get(level, 0) for level in levels) / max(1, looked)


@dataclass(slots=True)
class CacheReport:
    seed: int
    requests: int
    prompts: int
    rows: list[Row]
    alone: dict[str, list[float | None]]  # ms, p50 and p99: of a hit, and of a fresh answer


def trace(seed: int, exponent: float, requests: int, prompts: int) -> list[tuple[int, bool]]:
    """Returns each request's number of a prompt, and True where it is deterministic."""
    dice = random.Random(f"{seed}:{exponent}")
    weights = list(accumulate(1 / rank**exponent for rank in range(1, prompts + 1)))
    drawn = dice.choices(range(prompts), cum_weights=weights, k=requests)
    return [(prompt, dice.random() < DETERMINISTIC) for prompt in drawn]


def measure(requests: int, prompts: int) -> CacheReport:
    variables = {"FOREBAY_WEB_PROCESSES": "2"}
    with forebay_on_mock_engine(variables=variables) as (mock, forebay):
        rows = [_row(forebay, mock, one, requests, prompts) for one in EXPONENTS]
        mock.control(delay_ms=0, interval_ms=0)
        return CacheReport(SEED, requests, prompts, rows, asyncio.run(_alone(forebay)))


def _row(forebay: Forebay, mock: MockEngine, exponent: float, requests: int, prompts: int) -> Row:
    tell(f"Zipf {exponent:g}")
    tenant = f"zipf-{round(exponent * 10)}"
    key = forebay.key_of(tenant)
    before = mock.control(tokens=16, interval_ms=0, delay_ms=ENGINE_MS)["requests"]
    times = asyncio.run(_replayed(forebay, key, trace(SEED, exponent, requests, prompts)))
    engine = mock.control()["requests"] - before
    counts: dict[str, int] = dict(forebay.rows(_COUNTS, tenant))
    return Row(exponent, counts, engine, *(Spread.of(times[k]).p50 for k in ("hit", "miss")))


async def _replayed(
    forebay: Forebay, key: str, requests: Sequence[tuple[int, bool]]
) -> dict[str, list[float]]:
    """Returns milliseconds by the cache's level, as the answers have it."""
    waiting = iter(requests)
    times: dict[str, list[float]] = {"hit": [], "miss": [], "": []}

    async def client() -> None:
        # A connection for each client: the kernel spreads them over the web processes.
        async with _session(forebay, key) as session:
            for prompt, cached in waiting:
                ms, level = await _ask(session, f"Question {prompt}", cached=cached)
                times[level].append(ms)

    await asyncio.gather(*(client() for _ in range(AT_ONCE)))
    return times


async def _alone(forebay: Forebay) -> dict[str, list[float | None]]:
    percentiles: dict[str, list[float | None]] = {}
    async with _session(forebay, forebay.key) as session:
        for name, cached in (("hit", True), ("fresh", False)):
            for _ in range(20):  # the first ones fill the cache
                await _ask(session, "Alone", cached=cached)
            times = [(await _ask(session, "Alone", cached=cached))[0] for _ in range(ALONE)]
            spread = Spread.of(times)
            percentiles[name] = [spread.p50, spread.p99]
    return percentiles


def _session(forebay: Forebay, key: str) -> aiohttp.ClientSession:
    return aiohttp.ClientSession(
        base_url=f"http://127.0.0.1:{forebay.port}",
        headers={"Authorization": f"Bearer {key}", "x-forebay-cache": "use"},
        connector=aiohttp.TCPConnector(limit=1),
    )


async def _ask(session: aiohttp.ClientSession, text: str, *, cached: bool) -> tuple[float, str]:
    messages = [{"role": "user", "content": text}]
    body: dict[str, Any] = {"model": MODEL, "messages": messages, "max_tokens": 16}
    body["temperature"] = 0 if cached else 0.7
    began = time.perf_counter()
    async with session.post("/v1/chat/completions", json=body) as answer:
        await answer.read()
        assert answer.status == 200, answer.status
    return (time.perf_counter() - began) * 1000, answer.headers.get("x-forebay-cache", "")


def section(report: CacheReport) -> str:
    head = ("Zipf", "L1", "L2", "in flight", "all hits", "engine asked")
    times = ("hit p50 ms", "miss p50 ms")
    method = METHOD.format(requests=report.requests, seed=report.seed, prompts=report.prompts)
    alone = ((name, *map(cell, spread)) for name, spread in report.alone.items())
    alone_table = table(("alone", "p50 ms", "p99 ms"), alone)
    return paragraphs(table((*head, *times), map(_cells, report.rows)), alone_table, method)


def _cells(row: Row) -> tuple[str, ...]:
    parts = [*map(row.part, HITS), row.part(*HITS)]
    engine = f"{row.engine} of {sum(row.counts.values())}"
    times = (cell(row.hit_p50_ms), cell(row.miss_p50_ms))
    return (f"{row.exponent:g}", *(f"{part:.1%}" for part in parts), engine, *times)


def aims(report: CacheReport) -> Iterator[Aim]:
    yield Aim("a kept answer: added p50", report.alone["hit"][0], "ms", 5)
