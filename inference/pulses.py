"""Signs of life of this process's event loops. The watchdog's thread looks at them
(config/watchdog.py): a process whose loop no longer turns is started anew.
"""

import asyncio
import time
from contextlib import suppress
from itertools import count

EVERY_S = 1.0
# By loop: when it turned last, by the monotonic clock; and how long it may take at least.
_latest: dict[str, tuple[float, float]] = {}
_numbers = count(1)


def beat(loop: str, patience_s: float = 0.0) -> None:
    """`patience_s`: a turn of this loop may take that long, whatever the watchdog's limit is."""
    _latest[loop] = time.monotonic(), patience_s


def forget(loop: str) -> None:
    """Of a loop that has ended in order."""
    _latest.pop(loop, None)


async def keep(kind: str) -> None:
    """Beats for the running event loop until it is cancelled."""
    loop = f"{kind} {next(_numbers)}"
    try:
        while True:
            beat(loop)
            await asyncio.sleep(EVERY_S)
    finally:
        forget(loop)


def stalled(limit_s: float) -> list[str]:
    """Loops that have not turned for so long."""
    now = time.monotonic()
    with suppress(RuntimeError):  # a loop begins meanwhile: the next look sees it
        return [
            loop
            for loop, (at, patience_s) in _latest.items()
            if now - at > max(limit_s, patience_s)
        ]
    return []
