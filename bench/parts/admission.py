"""The time that authentication, limits and quota reserve add to a request."""

import asyncio
import gc
import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from time import perf_counter

import uvloop
from channels.db import database_sync_to_async as in_database

from bench.figures import Aim, Spread, difference, median, paragraphs, table, tell
from bench.parts import many_tenants as tenants
from bench.parts.admission_path import STEPS, BarePath, Path, Times, make_bare_functions
from bench.servers import machine

RATE = 200  # requests a second
ADDRESSES = 1000
WARMUP_S = 1.0
METHOD = f"""\
{RATE} requests/s at random moments (Poisson) in one process on one event loop, as the web process
takes them, each of a random tenant with one key. Tenant and key have limits of requests, tokens
and requests at once, addresses the default limit of 100 a minute; each tenant has six quotas:
tokens, requests and cost per day and per month. All 5,000 tenants stand in the same database.
"Whole" is from the scheduled moment until the request is queued. "Without" takes the same requests
along the same path with the caller known, nothing asked of the limits, and a record whose SQL
neither reserves nor settles (no ledger, no counters); audit event, sealed text and `Completion`
are written in both. "Added" is the difference of the two percentiles, the median over the rounds.
"Authentication" is the key's look-up, "limits" every call of the Lua script (a second one for the
address where the key has to be looked up), "record" the wait for the group commit.
Requests are settled after 0.1 s by the same process, which both ways bear. "A day begins": nobody
has a counter of the day, so that almost every request makes its tenant's, as at midnight."""
ONE, MANY, AT_MIDNIGHT = "1 tenant", "5,000 tenants", "4,900 tenants, a day begins"
SETTINGS = {ONE: 1, "100 tenants": 100, MANY: 5_000, AT_MIDNIGHT: 4_900}
TENANTS = max(SETTINGS.values())


@dataclass(slots=True)
class Slice:
    """One measurement by step, of which "whole" is all of them."""

    requests: int
    failed: int
    idle: float  # share of the cores' time that nobody used meanwhile
    steps: dict[str, Spread]


@dataclass(slots=True)
class AdmissionRow:
    """One setting: `rounds` are pairs of slices, with everything and without."""

    name: str
    rounds: list[tuple[Slice, Slice]] = field(default_factory=list)

    @property
    def added(self) -> Spread:
        return Spread.median(
            complete.steps["whole"].less(bare.steps["whole"]) for complete, bare in self.rounds
        )

    def step(self, name: str, *, without: bool = False) -> Spread:
        return Spread.median(pair[without].steps[name] for pair in self.rounds)

    def count(self, field: str) -> int:
        return sum(getattr(one, field) for pair in self.rounds for one in pair)


@dataclass(slots=True)
class AdmissionReport:
    seconds: float  # of a slice
    rows: list[AdmissionRow]


def measure(rounds: int, seconds: float) -> AdmissionReport:
    return AdmissionReport(seconds, uvloop.run(_rows(rounds, seconds)))


async def _rows(rounds: int, seconds: float) -> list[AdmissionRow]:
    tell(f"admission: {TENANTS:,} tenants")
    keys = await in_database(tenants.open_tenants)(TENANTS)
    await in_database(make_bare_functions)()
    path = Path()
    await path.open()
    bare = BarePath({key: await path.context.authenticator.by_key(key) for key in keys})
    await bare.open()
    beat = asyncio.create_task(path.beat())
    gc.collect()
    gc.freeze()  # as the web process does when it has started (config/asgi.py)
    rows = [AdmissionRow(name) for name in SETTINGS]
    for number in range(rounds):
        for row in rows:
            tell(f"round {number + 1}/{rounds}: admission, {row.name}")
            row.rounds.append(await _both(row.name, path, bare, keys, seconds, number))
    beat.cancel()
    await asyncio.gather(beat, return_exceptions=True)
    await asyncio.gather(path.close(), bare.close())
    if reserved := await in_database(tenants.still_reserved)():
        raise AssertionError(f"{reserved} are still set aside")
    return rows


async def _both(
    setting: str, path: Path, bare: Path, keys: list[str], seconds: float, number: int
) -> tuple[Slice, Slice]:
    """Measure both paths at the same moments, for the same tenants and addresses."""
    senders = keys[: SETTINGS[setting]]
    if setting == AT_MIDNIGHT:  # for tenants that have not done a day's work already
        senders = keys[-SETTINGS[setting] :]
        await in_database(tenants.forget_the_day)()
    slices = {}
    for each in (path, bare) if number % 2 == 0 else (bare, path):
        slices[each] = await Load(each, senders, number).run(seconds)
    if setting == AT_MIDNIGHT:
        await in_database(tenants.open_counters)()
    return slices[path], slices[bare]


class Load:
    """One slice: an open loop, whatever becomes of the requests."""

    def __init__(self, path: Path, keys: list[str], seed: int) -> None:
        self._path, self._keys = path, keys
        self._random = random.Random(seed)
        self._times: list[Times] = []
        self._wrong: Counter[str] = Counter()

    async def run(self, seconds: float) -> Slice:
        due, idle = (began := perf_counter()), machine.idle_clock()
        async with asyncio.TaskGroup() as tasks:
            while due < began + WARMUP_S + seconds:
                if (wait := due - perf_counter()) > 0:
                    await asyncio.sleep(wait)
                key, address = self._random.choice(self._keys), self._address()
                tasks.create_task(self._one(key, address, due, due >= began + WARMUP_S))
                due += self._random.expovariate(RATE)
            idle_share = idle()
        for wrong, count in self._wrong.items():
            tell(f"admission: {count} x {wrong}")
        steps = {step: Spread.of(times[step] * 1000 for times in self._times) for step in STEPS}
        return Slice(len(self._times), sum(self._wrong.values()), idle_share, steps)

    def _address(self) -> str:
        return f"10.1.{self._random.randrange(ADDRESSES) // 250}.{self._random.randrange(250)}"

    async def _one(self, key: str, address: str, due: float, counts: bool) -> None:
        try:
            order, times = await self._path.take(key, address, due)
            if counts:
                self._times.append(times)
            await self._path.run(order)
        except Exception as problem:  # whatever it is, it is counted and told
            self._wrong[repr(problem)] += 1


def section(report: AdmissionReport) -> str:
    head = ("", "added", *STEPS, "record without", "whole without", "failed / all")
    slices = [one for row in report.rows for both in row.rounds for one in both]
    text = (
        f"p50 / p99 in ms, medians over {len(report.rows[0].rounds)} rounds of "
        f"{report.seconds:g} s, while the cores were idle for "
        f"{median(one.idle for one in slices) or 0:.0%} of the time (median)."
    )
    return paragraphs(table(head, map(_cells, report.rows)), text, METHOD)


def _cells(row: AdmissionRow) -> tuple[str, ...]:
    spreads = [row.added, *map(row.step, STEPS)]
    spreads += [row.step(name, without=True) for name in ("record", "whole")]
    counts = f"{row.count('failed')} / {row.count('requests')}"
    return (row.name, *map(str, spreads), counts)


def aims(report: AdmissionReport) -> Iterator[Aim]:
    added = {row.name: row.added for row in report.rows if row.name != AT_MIDNIGHT}
    for name, spread in added.items():
        yield Aim(f"admission at {RATE}/s, {name}: added p50", spread.p50, "ms", 0.8)
        yield Aim(f"admission at {RATE}/s, {name}: added p99", spread.p99, "ms", 10)
    more = difference(added[MANY].p50, added[ONE].p50)
    yield Aim(f"admission, {MANY} against {ONE}: p50 more by", more, "ms", 1)


def key_figures(report: AdmissionReport) -> dict[str, float | None]:
    added = {row.name: row.added.p50 for row in report.rows}
    return {
        "admission_1_tenant_p50_ms": added[ONE],
        "admission_5000_tenants_p50_ms": added[MANY],
    }
