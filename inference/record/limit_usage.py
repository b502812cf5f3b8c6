"""The amounts that an order holds of its tenant's and its key's limits, and those it used."""

import math

from inference import classes
from inference.order import Order
from inference.record.outcome import Outcome
from tenants.rate_limits.held_slots import UNKNOWN, HeldSlot

GRACE_S = 60  # after its deadline the sweeper has closed it


def takes_slot(klass: str, route: str) -> bool:
    """Returns whether it counts as one of the simultaneous requests.

    A request that its client has lowered does in any class: while it waits it holds a connection,
    and its body in a web process.
    """
    own = classes.of(klass, route)
    lowered = own.for_clients and klass != classes.assigned("", route)
    return own.takes_slot or lowered


def slot(order: Order) -> HeldSlot:
    key = order.charge.api_key_id
    tenant = str(order.tenant_id)
    size = len(order.body) or UNKNOWN  # its text has been erased
    return HeldSlot(
        str(order.id),
        tenant,
        str(key) if key else "",
        size,
        takes_slot(order.klass, order.route),
        until=order.deadline + GRACE_S,
    )


def hold_s(order: Order) -> int:
    """Returns the most seconds that a new request's place is held, whatever dies."""
    return math.ceil(order.deadline - order.created_at) + GRACE_S


def reserved_tokens(order: Order) -> int:
    """Returns the tokens charged to the limits per minute: likely ones, not the most.

    The settlement corrects them, also upwards.
    """
    return min(order.charge.tokens or order.estimate, order.estimate)


def used(outcome: Outcome) -> int | None:
    """Returns the tokens; None if another has settled the request, so that they are unknown."""
    tokens = outcome.prompt_tokens + outcome.completion_tokens
    return tokens if tokens or outcome.gpu_ms or outcome.state != "done" else None


def used_of_a_minute(order: Order | None, outcome: Outcome) -> int | None:
    """Returns the tokens that count in the limits per minute.

    Long work counts no more than was set aside: else all of it would count in its last minute.
    """
    tokens = used(outcome)
    if tokens is None or order is None or not classes.of(order.klass, order.route).checkpoints:
        return tokens
    return min(tokens, reserved_tokens(order))


def stored_bytes(outcome: Outcome) -> int:
    return len(outcome.response)
