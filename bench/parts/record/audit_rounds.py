"""The rounds of the audit's part: as many requests at once as there are."""

import asyncio
import gc
import os
import random
from collections import Counter
from collections.abc import Sequence
from time import perf_counter

from channels.db import database_sync_to_async

from audit.keys.keyring import keyring
from bench.figures.progress import tell
from bench.figures.statistics import Spread
from bench.parts.record import tenants
from bench.parts.record.audit_path import Caller, RecordPath, callers, make_old_completions
from bench.parts.record.audit_report import FLOODS, OLD, TENANTS, AuditReport, Flood, FloodRow
from bench.parts.record.audit_sealing import Sealer
from bench.servers import machine
from bench.servers.processes import use_by_role

WARMUP_S = 1.0
ROLES = {"audit_sealing": "sealer", "postgres": "postgres", "valkey-server": "valkey"}
in_database = database_sync_to_async


async def measure_rounds(rounds: int, seconds: float) -> AuditReport:
    tell(f"audit: {TENANTS} tenants")
    await in_database(tenants.open_tenants)(TENANTS)
    with_quotas = await in_database(callers)()
    await in_database(tenants.open_tenants)(TENANTS, quotas=False)
    without_quotas = await in_database(callers)(quotas=False)
    await in_database(make_old_completions)(OLD)
    path, sealer = RecordPath(), Sealer()
    gc.collect()
    gc.freeze()  # as the web process does when it has started (config/asgi.py)
    report = AuditReport(seconds, [FloodRow(setting.name) for setting in FLOODS])
    try:
        for number in range(rounds):
            for setting, row in zip(FLOODS, report.floods, strict=True):
                tell(f"round {number + 1}/{rounds}: audit, {setting.name}")
                senders = with_quotas if setting.quotas else without_quotas
                row.rounds.append(await flood(path, senders, sealer, setting.requests, seconds))
    finally:
        sealer.stop()
        await path.close()
        keyring.close()
    reserved = await in_database(tenants.still_reserved)()
    if reserved and not report.failed:  # a request that failed may be open yet
        raise AssertionError(f"{reserved} are still set aside")
    return report


async def flood(
    path: RecordPath, senders: Sequence[Caller], sealer: Sealer, at_once: int, seconds: float
) -> Flood:
    records: list[float] = []
    problems: Counter[str] = Counter()
    counts_from = perf_counter() + WARMUP_S
    until = counts_from + seconds

    async def one_after_another(seed: int) -> int:
        draw, audited = random.Random(seed), 0
        while (began := perf_counter()) < until:
            try:
                order = path.order(draw.choice(senders))
                record_ms = await path.receive(order)
                await path.settle(order)
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
    failed = sum(problems.values())
    return Flood(audited, failed, seconds, idle, Spread.of(records), cpu_ms, sealed)


async def _use(after: float, seconds: float) -> tuple[float, dict[str, float]]:
    """The share of the cores' time that nobody used, and milliseconds of CPU by role."""
    await asyncio.sleep(after)
    began, idle, before = perf_counter(), machine.idle_seconds(), await _cpu_by_role()
    await asyncio.sleep(seconds)
    share = (machine.idle_seconds() - idle) / (perf_counter() - began) / machine.cores()
    now = await _cpu_by_role()
    return share, {role: now[role] - before.get(role, 0.0) for role in now}


async def _cpu_by_role() -> dict[str, float]:
    uses = await asyncio.to_thread(use_by_role, [os.getpid()], _role_of)
    return {role: use.cpu_ms for role, use in uses.items()}


def _role_of(command: str) -> str:
    return next((role for sign, role in ROLES.items() if sign in command), "writer")
