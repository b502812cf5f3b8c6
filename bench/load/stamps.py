"""Stamps in prompts: the moment of writing, so that an engine knows how long a request took.

`perf_counter` is one clock for all processes of a machine.
"""

import re
from time import perf_counter

TICKS_PER_S, TURN = 100_000, 10**10  # ten digits last for 27 hours
TEXT = "Sent at %010d"
_STAMP = re.compile(rb"Sent at (\d{10})")


def stamp() -> int:
    return int(perf_counter() * TICKS_PER_S) % TURN


def ms_since(body: bytes) -> float | None:
    """Returns None where the body has no stamp."""
    if not (match := _STAMP.search(body)):
        return None
    return (stamp() - int(match[1])) % TURN * 1000 / TICKS_PER_S
