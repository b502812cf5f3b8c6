"""Checks whether a pool's queue takes one more request of a class, by number and expected wait.

A request that would wait too long behind those of others may still have an earlier turn. This
process decides by the last figures it read (queue/expected_wait.py), so requests that are on their
way into the queue, here and in other processes, come on top.
"""

import math
from collections.abc import Sequence

from inference.engines import Pool
from inference.intake.errors import QueueFull
from inference.queue.expected_wait import expected, line_of, waiting
from inference.queue.limits import limits_of

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
    interval_s = line_of(pool.name).interval_s or UNKNOWN_S
    return max(1, too_long_s, too_many * interval_s)


def has_a_turn(pool: Pool, klass: str, own: int, tenants: int) -> bool:
    """Returns whether a tenant's next request begins in time though others wait too long.

    The tenants of a class take turns: `own` of this one's requests wait, and `tenants` including
    it.
    """
    line = line_of(pool.name)
    of_class = line.waiting.get(klass, 0)
    before = line.before(klass) - of_class + min(of_class, (own + 1) * tenants)
    limits = limits_of(pool.policy, klass)
    in_time = line.wait_s(before) <= limits["wait_s"]
    return in_time and waiting(pool.name, klass) < limits["waiting"]
