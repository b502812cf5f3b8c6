"""The load that the audit trail bears: requests received, settled and sealed a second."""

import asyncio
import gc
import os
import random
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from time import perf_counter

import uvloop
from channels.db import database_sync_to_async as in_database

from audit.keys.keyring import keyring
from bench.figures import Aim, Spread, cell, median, paragraphs, table, tell
from bench.parts import many_tenants as tenants
from bench.parts.audit.path import RecordPath, make_old_completions, orders
from bench.parts.audit.sealing import COMMAND, Sealed, Sealer
from bench.servers import machine
from bench.servers.processes import Use, cpu_ms_since, use_by_role
from inference.order import Order

TENANTS = 100
OLD = 100_000  # completions that are there already
WARMUP_S = 1.0
ROLES = ("writer", "postgres", "sealer")
SIGNS = {COMMAND: "sealer", "postgres": "postgres", "valkey-server": "valkey"}
# How many requests at once.
AUDITED, NO_QUOTAS = "64 at once", "256 at once, no quotas"
FLOODS = {AUDITED: 64, "256 at once": 256, NO_QUOTAS: 256}
METHOD = f"""\
One process on one event loop writes each request twice, as intake and runner do: RECEIVED with
the sealed prompt (1 KB) and its signed receipt, then SETTLED with the sealed answer (1 KB), both
through GroupCommit, for {TENANTS} tenants with a key and six quotas each (in
one row without any), with {OLD:,} completions in the table and statistics of it, as on a platform
in use. "Audited" are requests of which both are durable. A second process seals
each second as Celery's job does, and tells the witness file; "sealed" is over the time that it
worked."""


@dataclass(slots=True)
class Flood:
    """One slice of as many requests at once."""

    audited: int
    failed: int
    seconds: float
    idle: float  # share of the cores' time that nobody used meanwhile
    record: Spread
    cpu_ms: dict[str, float]  # of each request, by role
    sealed: Sealed

    @property
    def per_second(self) -> float:
        return self.audited / self.seconds


@dataclass(slots=True)
class FloodRow:
    name: str
    rounds: list[Flood] = field(default_factory=list)

    @property
    def per_second(self) -> float | None:
        return median(one.per_second for one in self.rounds)

    @property
    def failed(self) -> int:
        return sum(one.failed for one in self.rounds)


@dataclass(slots=True)
class AuditReport:
    seconds: float  # of a slice
    floods: list[FloodRow]


def measure(rounds: int, seconds: float) -> AuditReport:
    return uvloop.run(_measured(rounds, seconds))


async def _measured(rounds: int, seconds: float) -> AuditReport:
    tell(f"audit: {TENANTS} tenants")
    await in_database(tenants.open_tenants)(TENANTS)
    with_quotas = await in_database(orders)()
    await in_database(tenants.open_tenants)(TENANTS, quotas=False)
    without_quotas = await in_database(orders)(quotas=False)
    await in_database(make_old_completions)(OLD)
    path, sealer = RecordPath(), Sealer()
    gc.collect()
    gc.freeze()  # as the web process does when it has started (config/asgi.py)
    report = AuditReport(seconds, [FloodRow(name) for name in FLOODS])
    try:
        for number in range(rounds):
            for row in report.floods:
                tell(f"round {number + 1}/{rounds}: audit, {row.name}")
                patterns = without_quotas if row.name == NO_QUOTAS else with_quotas
                row.rounds.append(await _flood(path, patterns, sealer, FLOODS[row.name], seconds))
    finally:
        sealer.stop()
        await path.close()
        keyring.close()
    reserved = await in_database(tenants.still_reserved)()
    failed = any(row.failed for row in report.floods)  # a request that failed may be open yet
    if reserved and not failed:
        raise AssertionError(f"{reserved} are still set aside")
    return report


async def _flood(
    path: RecordPath, patterns: Sequence[Order], sealer: Sealer, at_once: int, seconds: float
) -> Flood:
    records: list[float] = []
    problems: Counter[str] = Counter()
    counts_from = perf_counter() + WARMUP_S
    until = counts_from + seconds

    async def one_after_another(seed: int) -> int:
        draw, audited = random.Random(seed), 0
        while (began := perf_counter()) < until:
            try:
                record_ms = await path.write(draw.choice(patterns))
            except Exception as problem:  # whatever it is, it is counted and reported
                problems[repr(problem)] += 1
                await asyncio.sleep(0.1)
                continue
            if perf_counter() <= until:
                audited += perf_counter() > counts_from
                if began > counts_from:
                    records.append(record_ms)
        return audited

    sealer.begin()
    use = asyncio.create_task(_use(WARMUP_S, seconds))
    audited = sum(await asyncio.gather(*map(one_after_another, range(at_once))))
    for text, count in problems.items():
        tell(f"audit, {at_once} at once: {count} x {text}")
    sealed = sealer.rest()
    idle, cpu_ms = await use
    cpu_ms = {role: ms / max(audited, 1) for role, ms in cpu_ms.items()}
    failed = problems.total()
    return Flood(audited, failed, seconds, idle, Spread.of(records), cpu_ms, sealed)


async def _use(after: float, seconds: float) -> tuple[float, dict[str, float]]:
    """The share of the cores' time that nobody used, and milliseconds of CPU by role."""
    await asyncio.sleep(after)
    idle, before = machine.idle_clock(), await asyncio.to_thread(_use_by_role)
    await asyncio.sleep(seconds)
    return idle(), cpu_ms_since(before, await asyncio.to_thread(_use_by_role))


def _use_by_role() -> dict[str, Use]:
    return use_by_role(os.getpid(), _role_of)


def _role_of(command: str) -> str:
    return next((role for sign, role in SIGNS.items() if sign in command), "writer")


def section(report: AuditReport) -> str:
    head = ("", "audited requests/s", "record p50 / p99 ms", "sealed events/s", "left unsealed")
    costs = (f"CPU ms/request: {', '.join(ROLES)}", "idle", "failed / all")
    rounds = len(report.floods[0].rounds)
    text = f"Medians over {rounds} rounds of {report.seconds:g} s."
    return paragraphs(table((*head, *costs), map(_cells, report.floods)), text, METHOD)


def _cells(row: FloodRow) -> tuple[str, ...]:
    sealed = [one.sealed for one in row.rounds]
    return (
        row.name,
        f"{row.per_second or 0:,.0f}",
        str(Spread.median(one.record for one in row.rounds)),
        f"{median(one.events / one.seconds for one in sealed if one.seconds) or 0:,.0f}",
        f"{median(one.left for one in sealed) or 0:,.0f}",
        " / ".join(cell(median(one.cpu_ms.get(role) for one in row.rounds)) for role in ROLES),
        f"{median(one.idle for one in row.rounds) or 0:.0%}",
        f"{row.failed} / {sum(one.audited for one in row.rounds) + row.failed:,}",
    )


def aims(report: AuditReport) -> Iterator[Aim]:
    for row in report.floods:
        limit = 2500 if row.name == AUDITED else 1000
        text = f"audited requests/s, {row.name}"
        yield Aim(text, row.per_second, "1/s", limit, at_least=True)


def key_figures(report: AuditReport) -> dict[str, float | None]:
    return {"audited_64_per_s": report.floods[0].per_second}
