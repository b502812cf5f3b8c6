"""The class of work of a request: that of its tenant's plan and its route, or a lower one.

A client names a lower one in `x-forebay-class`, never in a body or a message: what is in there
reaches engines and records, not the queue.
"""

from inference import classes
from inference.errors import BadRequest
from tenants.caller import Caller

HEADER = "x-forebay-class"


def work_class(caller: Caller, route: str, asked: str | None = None) -> str:
    """`asked`: the header, None where there is none. Raises BadRequest."""
    highest = classes.assigned(caller.tier, route)
    if asked is None:
        return highest
    open_to = classes.lowerable(highest)
    name = asked.strip().lower()
    if name not in open_to:
        names = " or ".join(f"`{each}`" for each in open_to)
        raise BadRequest(
            f"{HEADER} may be {names} here: a request can give way, not go before others",
            param=HEADER,
        )
    return name
