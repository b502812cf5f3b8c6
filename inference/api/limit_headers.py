"""The headers of limits and quotas on every answer, in the form of OpenAI's API.

A stream's quota headers leave before it has begun: they show the rest while the most that it can
cost is reserved. A whole answer's show the rest after its settlement.
"""

from dataclasses import replace
from typing import Any

import orjson

from inference.codec.answer_translator import count
from inference.errors import Headers
from inference.order import Order
from inference.stream.frames import Frame, Kind, pool_in
from tenants.quotas.ledger_answer import Verdict
from tenants.rate_limits.admission import Admission, TierRest


def headers(admission: Admission, scope: str = "") -> Headers:
    """Returns `x-ratelimit-*` of the tightest tier; nothing without limits."""
    lines: Headers = []
    for what, limit in (("requests", admission.requests), ("tokens", admission.tokens)):
        if limit:
            lines += header_lines(what, limit)
    if scope or admission.scope:
        lines.append((b"x-ratelimit-scope", (scope or admission.scope).encode()))
    return lines


def header_lines(what: str, limit: TierRest) -> Headers:
    return [
        (f"x-ratelimit-limit-{what}".encode(), b"%d" % limit.limit),
        (f"x-ratelimit-remaining-{what}".encode(), b"%d" % limit.remaining),
        (f"x-ratelimit-reset-{what}".encode(), duration(limit.full_in_ms).encode()),
    ]


def duration(ms: int) -> str:
    """Returns OpenAI's form: 120ms, 1s, 7.66s, 6m0s, 1h0m0s."""
    if ms < 1000:
        return f"{ms}ms"
    minutes, rest = divmod(ms, 60_000)
    seconds = f"{rest / 1000:g}s"
    hours, minutes = divmod(minutes, 60)
    return (f"{hours}h" if hours else "") + (f"{minutes}m" if hours or minutes else "") + seconds


# Quotas -------------------------------------------------------------------------------------------
def quota_headers(verdict: Verdict) -> Headers:
    """Returns `x-quota-*` of the tightest quota for each unit; nothing without quotas."""
    lines: Headers = []
    for name, quota in verdict.tightest.items():
        unit = name.replace("_", "-")
        lines += [
            (f"x-quota-limit-{unit}".encode(), b"%d" % quota.limit),
            (f"x-quota-remaining-{unit}".encode(), b"%d" % quota.remaining),
        ]
        if quota.resets:
            ends = f"{quota.ends:%Y-%m-%dT%H:%M:%SZ}"
            lines.append((f"x-quota-reset-{unit}".encode(), ends.encode()))
    return lines


def quota_headers_after(verdict: Verdict, order: Order, usage: Any, upstream: str) -> Headers:
    """Returns the headers after a settlement with this `usage`; if it is unknown, those before.

    `upstream` is the serving engine in the frame's form.
    """
    if not isinstance(usage, dict):
        return quota_headers(verdict)
    prompt, answer = count(usage, "prompt_tokens") or 0, count(usage, "completion_tokens") or 0
    cached = count(usage.get("prompt_tokens_details"), "cached_tokens") or 0
    charge = order.charge
    back = {
        "requests": 0,
        "tokens": charge.tokens - prompt - answer,
        "cost": charge.most - charge.cost(prompt, cached, answer, pool_in(upstream)),
        "gpu_seconds": 0,  # those of jobs: an answer sets none aside
    }
    quotas = (
        replace(quota, remaining=max(0, quota.remaining + back[quota.unit]))
        for quota in verdict.left
    )
    return quota_headers(Verdict(tuple(quotas)))


def usage_in(frame: Frame) -> Any:
    """Returns the usage of a whole answer; None for an error."""
    is_answer = frame.kind == Kind.BODY and frame.body
    return orjson.loads(frame.body).get("usage") if is_answer else None
