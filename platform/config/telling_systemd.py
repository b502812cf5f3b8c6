"""systemd's sd_notify(3): it waits with whoever comes after us until we are ready."""

import contextlib
import os
import socket

_ABSTRACT = "@"


def tell(state: str) -> None:
    """READY=1 or STOPPING=1. Without systemd, or where nobody listens, nothing happens."""
    if not (place := os.environ.get("NOTIFY_SOCKET", "")):
        return
    address = f"\0{place[1:]}" if place.startswith(_ABSTRACT) else place
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as link:
        link.sendto(state.encode(), address)
