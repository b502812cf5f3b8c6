"""Heartbeats of this process's event loops, which the watchdog's thread checks.

It restarts a process with a blocked loop (config/process_heartbeat.py).
"""

import asyncio
import time
from contextlib import suppress
from itertools import count

EVERY_S = 1.0
# By loop: its last turn, by the monotonic clock, and the least time that a turn may take.
_latest: dict[str, tuple[float, float]] = {}
_numbers = count(1)


def beat(loop: str, patience_s: float = 0.0) -> None:
    """Note a turn of the loop, which may take `patience_s` whatever the watchdog's limit is."""
    _latest[loop] = time.monotonic(), patience_s


def forget(loop: str) -> None:
    """Forget a loop that has ended in order."""
    _latest.pop(loop, None)


async def keep(kind: str) -> None:
    """Beat for the running event loop until it is cancelled."""
    loop = f"{kind} {next(_numbers)}"
    try:
        while True:
            beat(loop)
            await asyncio.sleep(EVERY_S)
    finally:
        forget(loop)


def stalled(limit_s: float) -> list[str]:
    """Returns loops without a turn for that long."""
    now = time.monotonic()
    with suppress(RuntimeError):  # a loop begins meanwhile: the next check includes it
        return [
            loop
            for loop, (at, patience_s) in _latest.items()
            if now - at > max(limit_s, patience_s)
        ]
    return []
