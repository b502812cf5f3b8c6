"""The state of this process, to systemd or to the supervisor of `make run`, by sd_notify(3).

A thread sends heartbeats (WatchdogSec=) as long as every event loop of the process turns
(inference/loop_heartbeats.py). A process that is stopped, or whose loop is stuck, falls silent, and
is restarted.
"""

import contextlib
import logging
import os
import socket
import threading
import time

from inference import loop_heartbeats

log = logging.getLogger(__name__)
_LOOKS = 4  # heartbeats within the time after which a silence kills the process
_PATIENCE_S = 1.0  # the listener may be stopped itself: its queue is full then


def tell(state: str) -> None:
    """Send READY=1, STOPPING=1 or WATCHDOG=1. Without a listener, do nothing."""
    if not (name := os.environ.get("NOTIFY_SOCKET", "")):
        return
    address = f"\0{name[1:]}" if name.startswith("@") else name
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as link:
        link.settimeout(_PATIENCE_S)
        link.sendto(state.encode(), address)


def begin() -> None:
    """Start the thread, if somebody watches this process."""
    if limit_s := _limit_s():
        thread = threading.Thread(
            target=_send_heartbeats, args=[limit_s], name="watchdog", daemon=True
        )
        thread.start()


def _limit_s() -> float:
    """Returns the seconds of silence until we are killed, as sd_watchdog_enabled(3) reads them.

    It is 0 where nobody watches.
    """
    ours = os.environ.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
    micros = os.environ.get("WATCHDOG_USEC", "")
    return int(micros) / 1e6 if ours and micros.isdecimal() else 0.0


def _send_heartbeats(limit_s: float) -> None:
    was_stalled: list[str] = []
    while True:
        stalled = loop_heartbeats.stalled(limit_s / 2)
        if not stalled:
            tell("WATCHDOG=1")
        elif stalled != was_stalled:
            log.error("ALERT process:stalled: the loop of %s does not turn", ", ".join(stalled))
        was_stalled = stalled
        time.sleep(limit_s / _LOOKS)
