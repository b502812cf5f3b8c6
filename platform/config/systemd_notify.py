"""sd_notify(3): tells systemd, or the supervisor of `make run`, the state of this process."""

import contextlib
import os
import socket

_ABSTRACT = "@"
_PATIENCE_S = 1.0  # the listener may be stopped itself: its queue is full then


def tell(state: str) -> None:
    """Send READY=1, STOPPING=1 or WATCHDOG=1. Without a listener, do nothing."""
    if not (place := os.environ.get("NOTIFY_SOCKET", "")):
        return
    address = f"\0{place[1:]}" if place.startswith(_ABSTRACT) else place
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as link:
        link.settimeout(_PATIENCE_S)
        link.sendto(state.encode(), address)
