"""Headers with the rest of the caller's quotas, from the ledger.

A stream's headers leave before it has begun: they show the rest while the most that it can cost is
reserved. A whole answer's headers show the rest after its settlement.
"""

from dataclasses import replace
from typing import Any

import orjson

from inference.codec.answer import count
from inference.errors import Headers
from inference.order import Order
from inference.stream.frames import Frame, Kind, pool_in
from tenants.quotas.ledger_answer import Left, Verdict


def headers(verdict: Verdict) -> Headers:
    """Returns `x-quota-*` of the tightest quota for each unit; nothing without quotas."""
    lines: Headers = []
    for unit, quota in verdict.tightest.items():
        lines += [
            (f"x-quota-limit-{unit}".encode(), b"%d" % quota.limit),
            (f"x-quota-remaining-{unit}".encode(), b"%d" % quota.remaining),
            (f"x-quota-reset-{unit}".encode(), f"{quota.ends:%Y-%m-%dT%H:%M:%SZ}".encode()),
        ]
    return lines


def headers_after(verdict: Verdict, order: Order, usage: Any, upstream: str) -> Headers:
    """Returns the headers after a settlement with this `usage`; if it is unknown, those before.

    `upstream` is the serving engine in the frame's form.
    """
    if not isinstance(usage, dict):
        return headers(verdict)
    prompt, answer = count(usage, "prompt_tokens") or 0, count(usage, "completion_tokens") or 0
    cached = count(usage.get("prompt_tokens_details"), "cached_tokens") or 0
    charge = order.charge
    back = {
        "requests": 0,
        "tokens": charge.tokens - prompt - answer,
        "cost": charge.most - charge.cost(prompt, cached, answer, pool_in(upstream)),
    }
    return headers(Verdict(tuple(_released(quota, back[quota.unit]) for quota in verdict.left)))


def _released(quota: Left, amount: int) -> Left:
    return replace(quota, remaining=max(0, quota.remaining + amount))


def usage_in(frame: Frame) -> Any:
    """Returns the usage of a whole answer; None for an error."""
    is_answer = frame.kind == Kind.BODY and frame.body
    return orjson.loads(frame.body).get("usage") if is_answer else None
