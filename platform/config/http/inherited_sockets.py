"""Sockets that were opened for us: systemd's socket unit, by LISTEN_FDS (sd_listen_fds(3)).

Their holder keeps them open while a process ends and the next one begins: a connection that comes
meanwhile waits, and none is refused.
"""

import os
import socket

_FIRST = 3  # after stdin, stdout, stderr


def take_inherited() -> list[socket.socket]:
    """Take the inherited listening sockets, if any, and hide them from child processes."""
    count, process = os.environ.pop("LISTEN_FDS", "0"), os.environ.pop("LISTEN_PID", "")
    os.environ.pop("LISTEN_FDNAMES", None)
    if process != str(os.getpid()) or not count.isdecimal():
        return []
    inherited = [socket.socket(fileno=number) for number in range(_FIRST, _FIRST + int(count))]
    for one in inherited:
        one.set_inheritable(False)
    return [one for one in inherited if one.type == socket.SOCK_STREAM]
