"""Ids of requests: UUIDs of version 7 (RFC 9562, 5.7), 48 bits of time and 74 random ones.

Many indexes contain the request's id. Ids in the order of time go to their ends; random ones would
use every page of an index. Lists of requests are in the order of their ids, so that no index of
times is needed: an id has the time at which its request was received.
"""

import os
import time
from datetime import datetime
from uuid import UUID

_VERSION_AND_VARIANT = 7 << 76 | 0b10 << 62
_RANDOM = (1 << 12) - 1 << 64 | (1 << 62) - 1
# Versions up to 0.1.0 made the id some time after the request was received.
_LATE_MS = 10_000


def new(at: float | None = None) -> UUID:
    """Returns an id of a request that was received at this time, in seconds; by default now."""
    milliseconds = int((time.time() if at is None else at) * 1000)
    random = int.from_bytes(os.urandom(10)) & _RANDOM
    return UUID(int=milliseconds << 80 | _VERSION_AND_VARIANT | random)


def bounds(since: datetime, until: datetime) -> tuple[UUID, UUID]:
    """Returns two ids between which all requests received between two times are, and few others."""
    return _least(since), _least(until, _LATE_MS)


def _least(at: datetime, more_ms: int = 0) -> UUID:
    return UUID(int=max(0, int(at.timestamp() * 1000) - 1 + more_ms) << 80)
