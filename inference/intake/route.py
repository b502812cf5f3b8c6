"""Chooses the pool of a request, with its order, before admission.

`pools_of` has the order of the model's policy: see inference/engines/snapshot.py. Room in a queue
is judged by the last figures that this process read (queue/expected_wait.py), so requests that are
on their way into the queue, here and in other processes, come on top.
"""

import math
from collections.abc import Callable, Sequence

from inference.engines import Pool, pools, pools_of
from inference.engines.base import Engine
from inference.engines.health import breakers, reachability
from inference.intake.errors import EnginesPaused, OutOfService, QueueFull
from inference.local_only import local_only_reason
from inference.pool_policy import RouteCondition
from inference.queue.expected_wait import expected, figures_of, waiting
from inference.queue.limits import limits_of
from tenants.caller import Caller

UNKNOWN_S, LONGEST_S = 5, 3600  # Retry-After without a known pace, and at most


def with_room(pools: Sequence[Pool], klass: str) -> list[Pool]:
    """Returns those of the pools, at least one, that have room. Raises QueueFull."""
    room_in_s = [_room_in_s(pool, klass) for pool in pools]
    if all(room_in_s):
        raise QueueFull(pools, math.ceil(min(LONGEST_S, *room_in_s)))
    return [pool for pool, seconds in zip(pools, room_in_s, strict=True) if not seconds]


def _room_in_s(pool: Pool, klass: str) -> float:
    """Returns seconds, 0 if there is room now."""
    limits = limits_of(pool.policy, klass)
    too_many = waiting(pool.name, klass) + 1 - limits["waiting"]
    too_long_s = expected(pool.name, klass) - limits["wait_s"]
    if too_many <= 0 and too_long_s <= 0:
        return 0
    interval_s = figures_of(pool.name).interval_s or UNKNOWN_S
    return max(1, too_long_s, too_many * interval_s)


def has_a_turn(pool: Pool, klass: str, own: int, tenants: int) -> bool:
    """Returns whether a tenant's next request begins in time though others wait too long.

    The tenants of a class take turns: `own` of this one's requests wait, and `tenants` including
    it.
    """
    figures = figures_of(pool.name)
    of_class = figures.waiting.get(klass, 0)
    before = figures.before(klass) - of_class + min(of_class, (own + 1) * tenants)
    limits = limits_of(pool.policy, klass)
    in_time = figures.wait_s(before) <= limits["wait_s"]
    return in_time and waiting(pool.name, klass) < limits["waiting"]


def open_to(caller: Caller, model: str) -> list[Pool]:
    """Returns the pools in the order in which they are tried, without hosted ones if local-only."""
    return [pool for pool in pools_of(model) if not (caller.local_only and pool.hosted)]


def may_reach(caller: Caller, model: str) -> list[Pool]:
    """Returns the possible pools, also those that drain: they may take requests again by then."""
    of_model = (pool for pool in pools().values() if pool.model == model)
    return [pool for pool in of_model if not (caller.local_only and pool.hosted)]


def route(caller: Caller, model: str, klass: str, among: frozenset[str] | None = None) -> Pool:
    """Returns the first pool with an available engine and room, or a quicker one for overflow.

    If no engine is available, the first pool that the request can wait for. `klass` is the class of
    work, `among` names allowed pools, None for all. Raises QueueFull, EnginesPaused if the breakers
    of all engines are open, OutOfService if no pool is left.
    """
    candidates = [pool for pool in open_to(caller, model) if among is None or pool.name in among]
    if not candidates:
        raise OutOfService(f"no pool of {model} is left")
    if up := [pool for pool in candidates if _any(reachability.available, pool)]:
        first, *behind = with_room(up, klass)
        return _or_overflow(first, behind, klass)
    if down := [pool for pool in candidates if _any(reachability.may_recover, pool)]:
        return with_room(down, klass)[0]
    if not any(pool.engines for pool in candidates):
        return with_room(candidates, klass)[
            0
        ]  # all drain: it waits for one that takes requests again
    waits = [
        breakers.retry_after(engine.config.id) for pool in candidates for engine in pool.engines
    ]
    raise EnginesPaused(model, min(waits), _local_only_reason(caller, model))


def _local_only_reason(caller: Caller, model: str) -> str:
    """Returns why it may not leave this installation, if a hosted pool would have come next."""
    leaves = caller.local_only and any(pool.hosted for pool in pools_of(model))
    return local_only_reason(caller.local_only_by) if leaves else ""


def _or_overflow(pool: Pool, behind: Sequence[Pool], klass: str) -> Pool:
    """Returns the pool, or one for overflow behind it if the wait is too long and that is quicker.

    From that one it may overflow again. All of them are available, and have room.
    """
    for other in behind:
        if other.policy.condition == RouteCondition.OVERFLOW:
            wait_s = expected(pool.name, klass)
            too_long = wait_s * 1000 > other.policy.overflow_after_ms
            if too_long and expected(other.name, klass) < wait_s:
                pool = other
    return pool


def _any(usable: Callable[[Engine], bool], pool: Pool) -> bool:
    return any(map(usable, pool.engines))
