"""Limits on calls of the management API: per minute, by address and by key, over all web processes.

When Redis is unavailable, each process counts by itself and admits half as much: an outage makes
the limit stricter, never open. Refusals leave the same traces as those on /v1.
"""

import math
import time
from functools import cache
from pathlib import Path
from typing import Any

import redis
from django.conf import settings
from django.utils.translation import gettext as _
from rest_framework.request import Request

from audit.trail.truncated_address import network
from console.api.problem import Problem
from console.api.requester import Requester
from console.client_network import client_ip
from inference.intake.context import context_if_any
from inference.queue.client import client
from tenants.models.refusal import RefusedBy
from tenants.rate_limits.admission import Admission
from tenants.rate_limits.client_address import counted
from tenants.refusals.recorder import RefusedCall

ROUTE = "/api/v1"
MOST_COUNTED = 10_000
_SCRIPT = Path(__file__).with_name("call_rate.lua").read_text()


def check_address(request: Request) -> None:
    """Count a call before its key is looked at: guessing keys is a call too. Raises Problem."""
    if address := counted(client_ip(request._request)):
        _check(request, RefusedBy.IP, f"ip:{address}", settings.ADDRESS_PER_MINUTE)


def check_key(request: Request, who: Requester) -> None:
    """Count a call of a key: by its own requests per minute, else its tenant's. Raises Problem."""
    if key := who.operator_key:
        _check(request, RefusedBy.KEY_RATE, key.actor, key.requests_per_minute, who)
    elif who.key:
        rate = who.key.requests_per_minute or who.key.tenant.limit("requests_per_minute")
        _check(request, RefusedBy.KEY_RATE, f"key:{who.key.id}", rate, who)


def _check(
    request: Request, tier: RefusedBy, name: str, rate: int, who: Requester | None = None
) -> None:
    """`rate` is in calls per minute; 0 means no limit."""
    wait_ms = _wait_ms(f"api:{name}", rate) if rate else 0
    if wait_ms:
        raise _too_many(request, Admission(tier, rate, rate, wait_ms), who)


def _too_many(request: Request, admission: Admission, who: Requester | None) -> Problem:
    """Returns the 429, with an id by which console and API explain it."""
    seconds = math.ceil(admission.frees_in_ms / 1000)  # `Retry-After` has no fractions
    headers, refusal_id = {"Retry-After": str(seconds)}, _record(request, admission, who)
    if refusal_id:
        headers["X-Refusal-Id"] = refusal_id
    text = _("Too many calls. Try again in %(seconds)s s.") % {"seconds": seconds}
    return Problem(429, "throttled", text, headers=headers, refusal_id=refusal_id)


def _record(request: Request, admission: Admission, who: Requester | None) -> str:
    refused = RefusedCall(
        tenant_id=who.key.tenant_id if who and who.key else None,
        actor=who.actor if who else "",
        route=ROUTE,
        client_net=network(client_ip(request._request)),
    )
    context = context_if_any(request._request)
    return context.refusals.note_from_thread(refused, admission) if context else ""


@cache
def _script() -> Any:
    return client().register_script(_SCRIPT)


def _wait_ms(name: str, rate: int) -> int:
    """Counts a call. Returns the milliseconds until one is free, 0 if this one may go on."""
    try:
        return int(_script()(keys=[name], args=[rate]))
    except redis.RedisError:
        return _local_wait_ms(name, max(1, rate // 2))


_local_counters: dict[str, list[float]] = {}  # name -> begin of its minute, calls in it


def _local_wait_ms(name: str, rate: int) -> int:
    now = time.monotonic()
    if len(_local_counters) >= MOST_COUNTED:
        _local_counters.clear()
    minute = _local_counters.setdefault(name, [now, 0])
    if now - minute[0] >= 60:
        minute[:] = [now, 0]
    if minute[1] >= rate:
        return math.ceil((minute[0] + 60 - now) * 1000)
    minute[1] += 1
    return 0
