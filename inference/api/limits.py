"""Limits in the words of OpenAI's API: headers on every answer, and the refusal.

A stream's quota headers leave before it has begun: they show the rest while the most that it can
cost is reserved. A whole answer's show the rest after its settlement.
"""

import math
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson

from inference.codec.answer_translator import count
from inference.errors import Headers, LimitReached, OutOfQuota
from inference.intake.errors import NotAdmitted
from inference.order import Order
from inference.stream.frames import Frame, Kind, pool_in
from tenants.caller import SESSION
from tenants.quotas.ledger_answer import Verdict
from tenants.rate_limits.admission import Admission, TierRest

_TIERS = {
    "ip": "this address sent {limit} requests within a minute, which is the most",
    "key_rate": "this API key's {limit} requests per minute are used up",
    "rate": "this tenant's {limit} requests per minute are used up",
    "key_tokens": "this API key's {limit} tokens per minute do not suffice for this request now",
    "tokens": "this tenant's {limit} tokens per minute do not suffice for this request now",
    "key_concurrency": "{used} requests of this API key are running; {limit} is the most at once",
    "concurrency": "{used} requests of this tenant are running; {limit} is the most at once",
    "key_bytes": "{used} of the {limit} bytes in flight of this API key are taken",
    "bytes": "{used} of the {limit} bytes in flight of this tenant are taken",
    "key_stored": "this API key's {limit} bytes stored per day do not suffice for this request now",
    "stored": "this tenant's {limit} bytes stored per day do not suffice for this request now",
    "key_readers": "this API key reads {used} streams at once; {limit} is the most",
    "readers": "this tenant reads {used} streams at once; {limit} is the most",
}
_OF_BYTES = ("bytes", "stored")


def limit_reached(refused: NotAdmitted) -> LimitReached:
    """Returns a 429 that names the tier, its figures, and the time to wait, if any."""
    admission = refused.admission
    wait_ms = 0 if admission.never_fits else max(1, admission.frees_in_ms)
    reason = refused.message or _TIERS[admission.tier].format(
        limit=admission.limit, used=admission.used
    )
    seconds = math.ceil(wait_ms / 1000)
    kind = OutOfQuota if admission.tier == "quota" else LimitReached
    text = f"{reason}; {_advice(admission, seconds)} ({admission.tier}, {refused.refusal_id})"
    error = kind(text, retry_after=seconds)
    error.refusal_id = refused.refusal_id
    error.tier, error.retry_after_ms = admission.tier, wait_ms
    error.extra = [
        *([(b"retry-after-ms", b"%d" % wait_ms)] if wait_ms else []),
        (b"x-refusal-id", refused.refusal_id.encode()),
        *headers(admission, admission.tier),
    ]
    if admission.tier.endswith(_OF_BYTES):
        remaining = max(0, admission.limit - admission.used)
        error.extra += _of("bytes", TierRest(admission.limit, remaining, admission.frees_in_ms))
    if admission.tier == "quota":
        error.extra.append((b"x-should-retry", b"false"))
    return error


def _advice(admission: Admission, seconds: int) -> str:
    if admission.tier != "quota":
        return f"try again in {seconds} s"
    if admission.window == SESSION and admission.asked <= admission.limit:
        return (
            "this session has no room for it: begin a new session, or wait until its requests in "
            "progress have ended"
        )
    if not admission.never_fits:
        return _renewal(seconds)
    if admission.unit == "requests":
        return "no window has room for it"
    return "it is larger than the whole quota, and waiting does not help: send a lower max_tokens"


def _renewal(seconds: int) -> str:
    """Says when a window of a quota begins anew, by the clock and in hours or days."""
    moment = datetime.now(UTC) + timedelta(seconds=seconds + 30)  # to the nearest minute
    if seconds < 2 * 24 * 3600:
        passed = f"{seconds // 3600} h" if seconds >= 7200 else f"{max(1, seconds // 60)} min"
        return f"it renews at {moment:%H:%M} UTC, in {passed}"
    days = seconds // (24 * 3600)
    return f"it renews on {moment:%Y-%m-%d} at {moment:%H:%M} UTC, in {days} days"


def headers(admission: Admission, scope: str = "") -> Headers:
    """Returns `x-ratelimit-*` of the tightest tier; nothing without limits."""
    lines: Headers = []
    for what, limit in (("requests", admission.requests), ("tokens", admission.tokens)):
        if limit:
            lines += _of(what, limit)
    if scope or admission.scope:
        lines.append((b"x-ratelimit-scope", (scope or admission.scope).encode()))
    return lines


def _of(what: str, limit: TierRest) -> Headers:
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
