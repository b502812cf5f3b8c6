"""Which of a model's pools takes a request: chosen with its order, before admission."""

from inference.engines import Pool, pools_of, reachable
from tenants.caller import Caller


def open_to(caller: Caller, model: str) -> list[Pool]:
    """In the order in which they are tried. A tenant that is local-only has no hosted ones."""
    return [pool for pool in pools_of(model) if not (caller.local_only and pool.hosted)]


def route(caller: Caller, model: str) -> Pool:
    """The first one with an engine that answers; where none does, the first one waits for it.

    There is at least one: the caller may use the model.
    """
    found = open_to(caller, model)
    if len(found) == 1:
        return found[0]
    return next((pool for pool in found if not reachable.all_down(pool.engines)), found[0])
