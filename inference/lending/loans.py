"""Carries out what engine_choice.py decides: GPUs are lent to jobs of their pool, and come back.

A loan has four steps, each in the engine's row: it is lent, and the supervisor stops its server; a
job may begin; it is asked back, and the job stops; no job is left, and the server starts again. The
third ends in the worker that had the job, and here if that worker has died.
"""

from collections import Counter
from collections.abc import Sequence
from typing import Any

from inference.lending.engine_choice import Decision, Lender, decide
from inference.metrics.lending import HAND_BACKS, JOB_S, RETURN_S
from inference.models import Engine
from inference.pool_policy import JOBS, STOP_S, LendingRules, jobs_queue
from inference.queue.client import client
from inference.queue.occupancy import Occupancy
from tenants.scope import system_scope

BY = "system:lending"
AHEAD_S = 60.0  # before the hours end, beside the time that a job has to stop
HEARD_S = 5.0  # by then each worker has heard that an engine is asked back
UNFIT_S = 600
GRACE_S = 10.0  # beyond the time that a job has to stop


def of_pool(members: Sequence[Engine]) -> LendingRules | None:
    """Returns how the pool of these engines lends; None: not at all."""
    return LendingRules.of(members[0].pool.lending) if members else None


def queue_of(members: Sequence[Engine]) -> str:
    """Returns the queue of the pool's jobs; "" without any of its engines on loan or coming back.

    A pool that lends has one in any case.
    """
    if members[0].pool.lending or any(row.lent_since for row in members):
        return jobs_queue(members[0].pool.name)
    return ""


def note_unfit(engine: str) -> None:
    """Lend an engine no more for a while: its server does not leave its GPU. Raises RedisError."""
    client().set(f"lending:unfit:{engine}", 1, ex=UNFIT_S)


def unfit(members: Sequence[Engine]) -> set[str]:
    """Returns the names of engines that are not lent for a while. Raises redis.RedisError."""
    names = [row.name for row in members]
    marks: Any = client().mget([f"lending:unfit:{name}" for name in names])
    return {name for name, mark in zip(names, marks, strict=True) if mark}


def take_all_back(members: Sequence[Engine]) -> None:
    for row in members:
        if row.lent_since and not row.returning_since:
            row.take_back(by=BY)


def decision_for(
    lenders: Sequence[Lender], needed: int, at_peak: int | None, jobs: Occupancy, *, is_open: bool
) -> Decision:
    """Decide for the jobs that wait, less the engines that are lent and have none yet."""
    idle = sum(each.is_lent and not jobs.by_engine[each.name + JOBS] for each in lenders)
    return decide(lenders, needed, at_peak, jobs.waiting - idle, is_open=is_open)


def carry_out(decision: Decision, members: Sequence[Engine], demand: int) -> None:
    by_name = {row.name: row for row in members}
    for name in decision.take_back:
        by_name[name].take_back(by=BY, demand=demand)
    for name in decision.lend:
        by_name[name].lend(by=BY, demand=demand)


def finish_returns(members: Sequence[Engine], jobs: Occupancy | None, now: float) -> None:
    """Hand back engines whose worker has not done so, and note servers that are ready again.

    `jobs` is None while Redis is away: then only those whose job is overdue.
    """
    on_loan = jobs.by_engine if jobs else None
    for row in members:
        if row.returning_since and row.lent_since:
            if _is_left(row, on_loan, now):
                hand_back(row)
        elif row.returning_since and (seconds := row.end_return()) is not None:
            RETURN_S.of(row.pool.name).observe(seconds)


def _is_left(row: Engine, on_loan: Counter[str] | None, now: float) -> bool:
    """Returns whether no job can be on its GPU: none is leased, or it has been killed by now."""
    assert row.returning_since
    since = now - row.returning_since.timestamp()
    if since > _longest_s(row) + GRACE_S + HEARD_S:
        return True
    return on_loan is not None and since > HEARD_S and not on_loan[row.name + JOBS]


def _longest_s(row: Engine) -> float:
    """Returns the seconds that its job may have to stop.

    The job's worker goes by the rules of the time when it began: the pool may have others since.
    """
    lending = LendingRules.of(row.pool.lending)
    return max(row.lent_return_s or 0, lending.return_s if lending else STOP_S)


def hand_back(row: Engine) -> None:
    seconds = row.hand_back(by=BY)
    if seconds is not None:
        HAND_BACKS.of(row.pool.name).value += 1
        JOB_S.of(row.pool.name).observe(seconds)


def leave(gpu: str) -> None:
    """Hand back the engine whose GPU a worker has left, unless it is lent still."""
    with system_scope():
        rows = Engine.objects.filter(name=gpu.removesuffix(JOBS), lent_since__isnull=False)
        if row := rows.select_related("pool").first():
            hand_back(row)
