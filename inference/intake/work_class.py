"""The class of work of a request: that of its tenant's plan and route, or a lower one.

A client names a lower one in `x-forebay-class`, never in a body or a message: those reach engines
and records, not the queue.
"""

from inference import classes
from inference.errors import BadRequest
from tenants.caller import Caller

HEADER = "x-forebay-class"


def work_class(caller: Caller, route: str, requested: str | None = None) -> str:
    """Returns the class. `requested` is the header, None without one. Raises BadRequest."""
    highest = classes.assigned(caller.tier, route)
    if requested is None:
        return highest
    open_to = classes.lowerable(highest)
    name = requested.strip().lower()
    if name not in open_to:
        names = " or ".join(f"`{each}`" for each in open_to)
        raise BadRequest(
            f"{HEADER} may be {names} here: a request can give way, not go before others",
            param=HEADER,
        )
    return name
