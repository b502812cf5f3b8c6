"""Lets engines rest while their pool does not need them, and wakes them before it does.

One process at a time looks, every other second, where FOREBAY_ENERGY asks for it. Left alone are
pools with a hosted or an elastic engine (an autoscaler has those), with engines that an operator
has drained, and with a replacement. Where it is turned off, whatever rests is woken.
"""

import logging
import time
from collections.abc import Iterable, Mapping
from typing import Any

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import connection, transaction
from redis import RedisError

from inference.energy.consolidation import Member, Plan, Rules, loaded, plan
from inference.energy.pool_history import PoolHistory
from inference.engines.health import breaker_override
from inference.engines.health.breakers import Phase
from inference.models import Engine, Replacement
from inference.queue.client import client
from inference.queue.occupancy import Occupancy, occupancy
from tenants.scope import system_scope

log = logging.getLogger(__name__)
BY = "system:energy"
_LOCK = 0x464F5245  # "FORE"
STOP_AFTER_S = 60.0  # of rest: a process may hear so late that the engine takes no requests
START_WITHIN_S = 900.0  # a server that takes longer is not counted on


def balance(now: float | None = None) -> None:
    """Let engines of each pool rest or wake them. Does nothing while Redis is away."""
    with system_scope(), transaction.atomic():
        if not _is_alone():
            return
        rows = _by_pool()
        if not settings.ENERGY_RESTS:
            _wake(row for members in rows.values() for row in members)
            return
        try:
            _balance(rows, time.time() if now is None else now)
        except RedisError as problem:
            log.warning("cannot see what the engines do, so none rests or wakes: %s", problem)


def _is_alone() -> bool:
    """Take turns until the end of the transaction. Returns False if it is another's."""
    with connection.cursor() as cursor:
        cursor.execute("select pg_try_advisory_xact_lock(%s)", [_LOCK])
        return bool(cursor.fetchone()[0])


def _by_pool() -> dict[str, list[Engine]]:
    pools: dict[str, list[Engine]] = {}
    for row in Engine.objects.filter(staged=False).select_related("pool"):
        pools.setdefault(row.pool.name, []).append(row)
    return pools


def _balance(rows: dict[str, list[Engine]], now: float) -> None:
    rules = Rules(settings.ENERGY_FULL, settings.ENERGY_HOLD_S)
    busy = _being_replaced()
    phases = _phases([row.name for members in rows.values() for row in members])
    load = occupancy(rows)
    for pool, members in rows.items():
        if not _may_rest(members, busy):
            _wake(members)
            continue
        history = _read_history(pool, rules.hold_s)
        _decide(rules, members, load[pool], history, phases, now)
        client().set(_name(pool), history.packed(), ex=max(60, int(2 * rules.hold_s)))


def _decide(
    rules: Rules,
    rows: list[Engine],
    load: Occupancy,
    history: PoolHistory,
    phases: Mapping[str, Phase],
    now: float,
) -> None:
    """Let engines of one pool rest or wake, and start or stop their servers."""
    demand = load.running + load.waiting
    history.see(now, demand, [row.name for row in rows if row.resting])
    members, peak = [_member(row, phases[row.name], now) for row in rows], history.peaks.peak
    _carry_out(plan(rules, members, demand, peak), rows, demand, peak)
    _start_servers(rows[: loaded(rules, members, demand)], demand)
    if peak is not None:
        others = rows[loaded(rules, members, peak) :]
        idle = [row for row in others if not load.by_engine[row.name]]
        rested = [row for row in idle if history.rested_s(row.name, now) >= STOP_AFTER_S]
        _stop_servers(rested, demand)


def _may_rest(members: list[Engine], busy: set[Any]) -> bool:
    return len(members) > 1 and not any(
        row.hosted
        or row.options.get("elastic")
        or row.pk in busy
        or (row.draining and not row.resting)
        for row in members
    )


def _being_replaced() -> set[Any]:
    pairs = Replacement.objects.open().values_list("old", "new")
    return {engine for pair in pairs for engine in pair}


def _phases(names: list[str]) -> dict[str, Phase]:
    """Returns the phase of each engine's breaker. Raises RedisError."""
    states = breaker_override.breakers_of(client(), names)
    return {name: states[name].phase for name in names}


def _member(row: Engine, phase: Phase, now: float) -> Member:
    # A breaker closes by a request, and one that rests gets none before it is woken.
    answers = phase is Phase.CLOSED or (row.resting and phase is Phase.DUE)
    works = answers and row.starting_since is None and not row.stopped
    return Member(row.name, row.slots, row.resting, works, not (works or _is_coming(row, now)))


def _is_coming(row: Engine, now: float) -> bool:
    """Returns whether it rests, and its server is stopped or starts for the first time."""
    if not row.resting or row.starting_reason:
        return False
    started = row.starting_since
    return row.stopped or bool(started and now - started.timestamp() < START_WITHIN_S)


def _carry_out(decision: Plan, members: list[Engine], demand: int, peak: float | None) -> None:
    by_name = {row.name: row for row in members}
    for name in decision.wake:
        by_name[name].wake(by=BY, demand=demand)
    if decision.rest:
        try:
            by_name[decision.rest].rest(by=BY, demand=demand, peak=peak)
        except ValidationError:  # a replacement has begun since
            log.info("engine %s does not rest: it is being replaced", decision.rest)


def _start_servers(members: Iterable[Engine], demand: int) -> None:
    for row in members:
        if row.stopped:
            row.start_server(by=BY, demand=demand)


def _stop_servers(members: Iterable[Engine], demand: int) -> None:
    for row in members:
        if row.resting and row.launched and not row.stopped:
            row.stop_server(by=BY, demand=demand)


def _wake(members: Iterable[Engine]) -> None:
    for row in members:
        if row.resting:
            row.wake(by=BY)


def _name(pool: str) -> str:
    return f"energy:history:{pool}"


def _read_history(pool: str, hold_s: float) -> PoolHistory:
    encoded: Any = client().get(_name(pool))
    return PoolHistory.parse(encoded, hold_s)
