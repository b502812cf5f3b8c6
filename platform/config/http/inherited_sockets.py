"""Sockets that somebody opened for us: systemd's socket unit, by LISTEN_FDS (sd_listen_fds(3)).

Whoever holds them keeps them open while a process ends and the next one begins: a connection that
comes meanwhile waits, and none is refused.
"""

import os
import socket

_FIRST = 3  # after stdin, stdout, stderr


def handed_over() -> list[socket.socket]:
    """Empty where there are none. Children are not told of them."""
    count, process = os.environ.pop("LISTEN_FDS", "0"), os.environ.pop("LISTEN_PID", "")
    os.environ.pop("LISTEN_FDNAMES", None)
    if process != str(os.getpid()) or not count.isdecimal():
        return []
    found = [socket.socket(fileno=number) for number in range(_FIRST, _FIRST + int(count))]
    for one in found:
        one.set_inheritable(False)
    return [one for one in found if one.type == socket.SOCK_STREAM]
