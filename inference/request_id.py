"""Ids of requests: UUIDs of version 7 (RFC 9562, 5.7), 48 bits of time and 74 random ones.

Seven indexes contain the request's id. Ids in the order of time go to their ends; random ones would
use every page of an index.
"""

import os
import time
from uuid import UUID

_VERSION_AND_VARIANT = 7 << 76 | 0b10 << 62
_RANDOM = (1 << 12) - 1 << 64 | (1 << 62) - 1


def new() -> UUID:
    milliseconds = time.time_ns() // 1_000_000
    random = int.from_bytes(os.urandom(10)) & _RANDOM
    return UUID(int=milliseconds << 80 | _VERSION_AND_VARIANT | random)
