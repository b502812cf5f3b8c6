"""Who listens at a port that several processes share: an answer from there tells of one of them."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

_LISTEN = "0A"  # TCP_LISTEN in /proc/net/tcp (proc_net_tcp.txt of the kernel's documentation)


def listens(pid: int, port: int) -> bool:
    """Whether this process has a socket that takes connections there."""
    return not sockets_of(pid).isdisjoint(_listening(port))


def _listening(port: int) -> Iterator[str]:
    for name in ("tcp", "tcp6"):
        with contextlib.suppress(FileNotFoundError):  # a kernel without IPv6
            for line in Path("/proc/net", name).read_text().splitlines()[1:]:
                (
                    _,
                    local,
                    _,
                    state,
                    *_,
                ) = fields = line.split()
                if state == _LISTEN and local.endswith(f":{port:04X}"):
                    yield f"socket:[{fields[9]}]"


def sockets_of(pid: int) -> set[str]:
    """As /proc names what a process has open, its sockets among it."""
    found = set()
    with contextlib.suppress(FileNotFoundError):  # it has ended
        for entry in os.scandir(f"/proc/{pid}/fd"):
            with contextlib.suppress(FileNotFoundError):
                found.add(os.readlink(entry.path))
    return found
