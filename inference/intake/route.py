"""Which of a model's pools takes a request: chosen with its order, before admission.

The order of `pools_of` is that of the model's policy: see inference/engines/snapshot.py.
"""

from collections.abc import Callable, Sequence

from inference.engines import Pool, breakers, pools, pools_of, reachable
from inference.engines.base import Engine
from inference.intake.errors import EnginesPaused, OutOfService
from inference.intake.room import with_room
from inference.local_only import why
from inference.policy import RouteCondition
from inference.queue.expected_wait import expected
from tenants.caller import Caller


def open_to(caller: Caller, model: str) -> list[Pool]:
    """In the order in which they are tried. Who is local-only has no hosted ones."""
    return [pool for pool in pools_of(model) if not (caller.local_only and pool.hosted)]


def may_reach(caller: Caller, model: str) -> list[Pool]:
    """Also those that drain: they may take requests again before it has its turn."""
    found = (pool for pool in pools().values() if pool.model == model)
    return [pool for pool in found if not (caller.local_only and pool.hosted)]


def route(caller: Caller, model: str, klass: str, among: frozenset[str] | None = None) -> Pool:
    """The first one with an engine that is available and room in its queue, or one that relieves
    it; else the first one that it can wait for.

    `klass`: of work. `among`: names of pools, None for all. Raises QueueFull, EnginesPaused when
    the breakers of all of their engines are open, OutOfService where the last one has gone since
    the caller was let in.
    """
    found = [pool for pool in open_to(caller, model) if among is None or pool.name in among]
    if not found:
        raise OutOfService(f"no pool of {model} is left")
    if up := [pool for pool in found if _any(reachable.available, pool)]:
        first, *behind = with_room(up, klass)
        return _relieved(first, behind, klass)
    if down := [pool for pool in found if _any(reachable.may_recover, pool)]:
        return with_room(down, klass)[0]
    if not any(pool.engines for pool in found):
        return with_room(found, klass)[0]  # all drain: it waits for one that takes requests again
    waits = [breakers.retry_after(engine.config.id) for pool in found for engine in pool.engines]
    raise EnginesPaused(model, min(waits), _why_not_further(caller, model))


def _why_not_further(caller: Caller, model: str) -> str:
    """Than this installation, where a hosted pool would have come next."""
    leaves = caller.local_only and any(pool.hosted for pool in pools_of(model))
    return why(caller.local_only_by) if leaves else ""


def _relieved(pool: Pool, behind: Sequence[Pool], klass: str) -> Pool:
    """Where it would wait too long there: the first pool for overflow behind it that is quicker,
    and so on from that one. All of them are available, and have room.
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
