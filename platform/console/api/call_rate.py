"""Limits on calls of the management API: per minute, by address and by key, over all web processes.

When Redis is unavailable, each process counts by itself and admits half as much: an outage makes
the limit stricter, never open.
"""

import math
import time
from functools import cache
from pathlib import Path
from typing import Any

import redis
from django.conf import settings
from rest_framework.request import Request
from rest_framework.throttling import BaseThrottle
from rest_framework.views import APIView

from console.api.requester import Requester
from console.client_network import client_ip
from inference.queue.client import client
from tenants.models.refusal import RefusedBy
from tenants.rate_limits.admission import Admission
from tenants.rate_limits.client_address import counted

MOST_COUNTED = 10_000
_SCRIPT = Path(__file__).with_name("call_rate.lua").read_text()


class Rate(BaseThrottle):
    tier: RefusedBy

    def __init__(self) -> None:
        self._wait_ms = self._rate = 0

    def allow_request(self, request: Request, view: APIView) -> bool:
        name, self._rate = self.counter(request)
        self._wait_ms = _wait_ms(f"api:{name}", self._rate) if self._rate else 0
        return self._wait_ms == 0

    @property
    def admission(self) -> Admission:
        return Admission(self.tier, self._rate, self._rate, self._wait_ms)

    def wait(self) -> float:
        """Returns seconds, at least 1: `Retry-After` has no fractions."""
        return math.ceil(self._wait_ms / 1000)

    def counter(self, request: Request) -> tuple[str, int]:
        """Returns the name of the counter and its calls per minute; 0 means no limit."""
        raise NotImplementedError


class AddressRate(Rate):
    """Limits an address. It counts before the key is looked at: guessing keys is a call too."""

    tier = RefusedBy.IP

    def counter(self, request: Request) -> tuple[str, int]:
        address = counted(client_ip(request._request))
        return f"ip:{address}", settings.IP_PER_MINUTE if address else 0


class KeyRate(Rate):
    """Limits a key by its own requests per minute, else by its tenant's."""

    tier = RefusedBy.KEY_RATE

    def counter(self, request: Request) -> tuple[str, int]:
        who = request.auth
        if isinstance(who, Requester) and who.operator_key:
            return who.operator_key.actor, who.operator_key.requests_per_minute
        if not isinstance(who, Requester) or who.key is None:
            return "", 0
        key = who.key
        return f"key:{key.id}", key.requests_per_minute or key.tenant.limit("requests_per_minute")


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
