"""Whether a pool's queue takes one more request of a class: by how many wait, and for how long.

Who would have to wait for too long behind the requests of others may yet have a turn before them.

What this process was told last decides (queue/expected_wait.py), so what is on its way into the
queue at that moment, here and in other processes, comes on top.
"""

import math
from collections.abc import Sequence

from inference.engines import Pool
from inference.intake.errors import QueueFull
from inference.queue.expected_wait import expected, line_of, waiting
from inference.queue.limits import limits_of

UNKNOWN_S, LONGEST_S = 5, 3600  # Retry-After where no pace is known, and at most


def with_room(pools: Sequence[Pool], klass: str) -> list[Pool]:
    """Of these pools, of which there must be one. Raises QueueFull."""
    room_in_s = [_room_in_s(pool, klass) for pool in pools]
    if all(room_in_s):
        raise QueueFull(pools, math.ceil(min(LONGEST_S, *room_in_s)))
    return [pool for pool, seconds in zip(pools, room_in_s, strict=True) if not seconds]


def _room_in_s(pool: Pool, klass: str) -> float:
    """Seconds, 0 when there is room now."""
    limits = limits_of(pool.policy, klass)
    too_many = waiting(pool.name, klass) + 1 - limits["waiting"]
    too_long_s = expected(pool.name, klass) - limits["wait_s"]
    if too_many <= 0 and too_long_s <= 0:
        return 0
    interval_s = line_of(pool.name).interval_s or UNKNOWN_S
    return max(1, too_long_s, too_many * interval_s)


def has_a_turn(pool: Pool, klass: str, own: int, tenants: int) -> bool:
    """Whether a tenant's next request begins in time where those of others wait for too long.

    The tenants of a class take turns: `own` of this one's requests and `tenants` with it wait.
    """
    line = line_of(pool.name)
    of_class = line.waiting.get(klass, 0)
    before = line.before(klass) - of_class + min(of_class, (own + 1) * tenants)
    limits = limits_of(pool.policy, klass)
    in_time = line.wait_s(before) <= limits["wait_s"]
    return in_time and waiting(pool.name, klass) < limits["waiting"]
