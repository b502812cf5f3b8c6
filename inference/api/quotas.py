"""What remains of the caller's quotas, on the answer: the ledger's own figures.

A stream's headers leave before it has begun: they tell what remains while the most that it can
cost is set aside. A whole answer's headers tell what remains once it is settled.
"""

from dataclasses import replace
from typing import Any

import orjson

from inference.codec.answer import count
from inference.errors import Headers
from inference.order import Order
from inference.stream.frames import Frame, Kind, pool_in
from tenants.quotas.verdict import Left, Verdict


def headers(verdict: Verdict) -> Headers:
    """`x-quota-*` of the quota that leaves least, for each unit; none where no quota counts."""
    found: Headers = []
    for unit, left in verdict.tightest.items():
        found += [
            (f"x-quota-limit-{unit}".encode(), b"%d" % left.limit),
            (f"x-quota-remaining-{unit}".encode(), b"%d" % left.remaining),
            (f"x-quota-reset-{unit}".encode(), f"{left.ends:%Y-%m-%dT%H:%M:%SZ}".encode()),
        ]
    return found


def headers_after(verdict: Verdict, order: Order, usage: Any, upstream: str) -> Headers:
    """Of an answer that is settled with this `usage`; as before it, where that is unknown.

    `upstream`: who served, as the frame names it.
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
    return headers(Verdict(tuple(_given_back(left, back[left.unit]) for left in verdict.left)))


def _given_back(left: Left, amount: int) -> Left:
    return replace(left, remaining=max(0, left.remaining + amount))


def usage_in(frame: Frame) -> Any:
    """Of a whole answer; None for an error."""
    return orjson.loads(frame.body).get("usage") if frame.kind == Kind.BODY else None
