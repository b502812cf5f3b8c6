"""What an order holds of its tenant's and its key's limits, and what came of it."""

import math

from inference import classes
from inference.order import Order
from inference.record.statements import Outcome
from tenants.rate_limits.release import UNKNOWN, Slot

GRACE_S = 60  # after its deadline the sweeper has closed it


def takes_slot(klass: str, route: str) -> bool:
    """Whether it counts among the requests at once.

    One that its client has lowered does, whatever its class says: it holds a connection and its
    body in a web process for as long as it waits.
    """
    own = classes.of(klass)
    lowered = own.for_clients and klass != classes.assigned("", route)
    return own.takes_slot or lowered


def slot(order: Order) -> Slot:
    key = order.charge.api_key_id
    tenant = str(order.tenant_id)
    size = len(order.body) or UNKNOWN  # its text has been erased
    return Slot(
        str(order.id),
        tenant,
        str(key) if key else "",
        size,
        takes_slot(order.klass, order.route),
        until=order.deadline + GRACE_S,
    )


def hold_s(order: Order) -> int:
    """So long a new request's place is held at most, whatever dies."""
    return math.ceil(order.deadline - order.created_at) + GRACE_S


def set_aside(order: Order) -> int:
    """Tokens that the limits per minute are charged with: likely ones, not the most possible.

    What the request really takes corrects it, also upwards.
    """
    return min(order.charge.tokens or order.estimate, order.estimate)


def used(outcome: Outcome) -> int | None:
    """Tokens; None for a request that another has settled, whose count is not known here."""
    tokens = outcome.prompt_tokens + outcome.completion_tokens
    return tokens if tokens or outcome.state != "done" else None


def kept(outcome: Outcome) -> int:
    """Bytes of the answer on record."""
    return len(outcome.response)
