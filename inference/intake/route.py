"""Which of a model's pools takes a request: chosen with its order, before admission."""

from inference.engines import Pool, breakers, pools_of, reachable
from inference.intake.errors import EnginesPaused, OutOfService
from tenants.caller import Caller


def open_to(caller: Caller, model: str) -> list[Pool]:
    """In the order in which they are tried. A tenant that is local-only has no hosted ones."""
    return [pool for pool in pools_of(model) if not (caller.local_only and pool.hosted)]


def route(caller: Caller, model: str) -> Pool:
    """The first one with an engine that is available; else the first one that it can wait for.

    Raises EnginesPaused when the breakers of all of their engines are open, OutOfService where
    the last one has gone since the caller was let in.
    """
    found = open_to(caller, model)
    if not found:
        raise OutOfService(f"no pool of {model} is left")
    for usable in (reachable.available, reachable.may_recover):
        for pool in found:
            if any(map(usable, pool.engines)):
                return pool
    if not any(pool.engines for pool in found):
        return found[0]  # all of them drain: it waits for one that takes requests again
    waits = [breakers.retry_after(engine.config.id) for pool in found for engine in pool.engines]
    raise EnginesPaused(model, min(waits))
