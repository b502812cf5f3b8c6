"""Lets engines rest while their pool does not need them, and wakes them before it does.

One process at a time looks, every other second, where FOREBAY_ENERGY asks for it. Left alone are
pools with a hosted or an elastic engine (an autoscaler has those), with engines that an operator
has drained, and with a replacement. Where it is turned off, whatever rests is woken.

Engines of a pool that lends rest in its hours in any case, and jobs may have the GPUs of those that
not even a peak needs (inference/lending).
"""

import logging
import time
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, NamedTuple

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import connection, transaction
from redis import RedisError

from inference.energy.consolidation import BURST, Member, Plan, Rules, loaded, plan
from inference.energy.pool_history import PoolHistory
from inference.engines.health import breaker_override
from inference.engines.health.breakers import Phase
from inference.lending import loans
from inference.lending.engine_choice import Lender
from inference.models import Engine, Replacement
from inference.pool_policy import AUTO, LendingRules
from inference.queue.client import client
from inference.queue.occupancy import Occupancy, occupancy
from tenants.scope import system_scope

log = logging.getLogger(__name__)
BY = "system:energy"
_LOCK = 0x464F5245  # "FORE"
STOP_AFTER_S = 60.0  # of rest: a process may hear so late that the engine takes no requests
_NO_JOBS = Occupancy(0, 0, Counter())
START_WITHIN_S = 900.0  # a server that takes longer is not counted on


def balance(now: float | None = None) -> None:
    """Let engines of each pool rest or wake them. Does nothing while Redis is away."""
    with system_scope(), transaction.atomic():
        if not _is_alone():
            return
        rows, now = _by_pool(), time.time() if now is None else now
        for members in rows.values():
            if not _rests(members, now):
                loans.take_all_back(members)
                _wake(members)
        try:
            _balance(rows, now)
        except RedisError as problem:
            log.warning("cannot see what the engines do, so none rests or wakes: %s", problem)
            for members in rows.values():
                loans.finish_returns(members, None, now)


def _rests(members: list[Engine], now: float) -> bool:
    """Returns whether engines of a pool may rest, to save energy or to be lent."""
    lending = loans.of_pool(members)
    return settings.ENERGY_RESTS or (lending is not None and _is_open(lending, now))


def _is_open(lending: LendingRules, now: float) -> bool:
    moment = datetime.fromtimestamp(now, UTC)
    return lending.is_open(moment, lending.return_s + loans.AHEAD_S)


def _rules(lending: LendingRules | None) -> Rules:
    rules = Rules(settings.ENERGY_FULL, settings.ENERGY_HOLD_S)
    if lending is None:
        return rules
    burst = BURST if lending.spare == AUTO else 0.0
    return replace(rules, least=lending.awake, spare=int(lending.spare is True), burst=burst)


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
    hold_s, busy = settings.ENERGY_HOLD_S, _being_replaced()
    jobs = {pool: queue for pool in rows if (queue := loans.queue_of(rows[pool]))}
    resting = {pool: members for pool, members in rows.items() if _rests(members, now)}
    load = occupancy([*resting, *jobs.values()]) if resting or jobs else {}
    phases = _phases([row.name for members in resting.values() for row in members])
    for pool, members in rows.items():
        jobs_load = load[jobs[pool]] if pool in jobs else _NO_JOBS
        loans.finish_returns(members, jobs_load, now)
        if pool not in resting:
            continue
        if not _may_rest(members, busy):
            loans.take_all_back(members)
            _wake(members)
            continue
        history = _read_history(pool, hold_s)
        _decide(members, PoolLoad(load[pool], jobs_load), history, phases, now)
        client().set(_name(pool), history.packed(), ex=max(60, int(2 * hold_s)))


class PoolLoad(NamedTuple):
    requests: Occupancy
    jobs: Occupancy  # of the queue for jobs of a pool that lends


def _decide(
    rows: list[Engine],
    pool_load: PoolLoad,
    history: PoolHistory,
    phases: Mapping[str, Phase],
    now: float,
) -> None:
    """Let engines of one pool rest or wake, start or stop their servers, lend or take back GPUs."""
    load, lending = pool_load.requests, loans.of_pool(rows)
    rules, demand = _rules(lending), load.running + load.waiting
    history.see(now, demand, [row.name for row in rows if row.resting])
    members, peak = [_member(row, phases[row.name], now) for row in rows], history.peaks.peak
    _carry_out(plan(rules, members, demand, peak), rows, demand, peak)
    needed = loaded(rules, members, demand)
    at_peak = None if peak is None else loaded(rules, members, peak)
    _start_servers(rows[:needed], demand)
    idle = [row for row in rows if row.resting and not load.by_engine[row.name]]
    rested = {row.name for row in idle if history.rested_s(row.name, now) >= STOP_AFTER_S}
    if at_peak is not None and settings.ENERGY_RESTS:
        _stop_servers([row for row in rows[at_peak:] if row.name in rested], demand)
    if lending:
        fit = rested - loans.unfit(rows)
        lenders = [Lender(row.name, _is_free(row, fit), bool(row.lent_since)) for row in rows]
        is_open = _is_open(lending, now)
        decision = loans.decision_for(lenders, needed, at_peak, pool_load.jobs, is_open=is_open)
        loans.carry_out(decision, rows, demand)


def _is_free(row: Engine, rested: Collection[str]) -> bool:
    """Returns whether its GPU could be lent: its server can leave it, and come back."""
    comes = row.lent_since or row.returning_since or (row.starting_since and not row.stopped)
    return row.lendable and row.name in rested and not comes


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
    comes_back = row.lent_since and not row.resting  # resumed, and serves nobody yet
    works = bool(answers and row.starting_since is None and not row.stopped and not comes_back)
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
