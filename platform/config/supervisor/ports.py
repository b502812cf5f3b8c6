"""Ports and Unix sockets: which are free or possible, reserved for our servers, or in use."""

import contextlib
import errno
import os
import random
import secrets
import socket
from pathlib import Path

from config.supervisor.terminal import RunProblem

# Below the kernel's ephemeral range: no outgoing connection can take the port while its server
# restarts.
_QUIET_PORTS = range(17000, 32000)
_LONGEST_PATH = 107  # bytes, of Linux: unix(7), sun_path without its last 0
_LISTEN = "0A"  # TCP_LISTEN in /proc/net/tcp (proc_net_tcp.txt of the kernel's documentation)


def require_free(host: str, port: int, variable: str = "FOREBAY_PORT") -> None:
    try:
        _bind(host, port)
    except socket.gaierror:
        raise RunProblem(f"FOREBAY_HOST={host} is no address: use 127.0.0.1 or 0.0.0.0") from None
    except OSError as error:
        text = f"cannot listen on {host}:{port} ({error.strerror}): set FOREBAY_HOST and {variable}"
        if error.errno == errno.EADDRINUSE:
            text = (
                f"port {port} on {host} is busy: stop the program that uses it, "
                f"or choose another port, for example {variable}={port % 65535 + 1}"
            )
        if error.errno == errno.EACCES:
            text = f"port {port} needs root: choose one above 1023 with {variable}"
        raise RunProblem(text) from None


def first_free(host: str, port: int) -> int:
    """Returns this port, or the next one that is free on the host. Raises RunProblem."""
    for candidate in range(port, port + 100):
        if is_free(host, candidate):
            return candidate
    raise RunProblem(f"no free port on {host} from {port} on: set FOREBAY_GRPC_PORT")


def is_free(host: str, port: int) -> bool:
    try:
        _bind(host, port)
    except OSError:
        return False
    return True


def find_free() -> int:
    """Reserve a free port of 127.0.0.1 for a server of ours, and return it. Raises RunProblem."""
    for port in random.sample(_QUIET_PORTS, 200):
        with contextlib.suppress(RunProblem):
            return reserve(port)
    raise RunProblem("no free TCP port on 127.0.0.1: stop some servers and try again")


def reserve(port: int) -> int:
    """Reserve this port of 127.0.0.1, and return it. Raises RunProblem.

    It is bound alone, then shared: a server, which sets SO_REUSEADDR, can bind and listen. That
    lasts as long as this process: a server that restarts finds its port again.
    """
    with socket.socket() as reservation:
        try:
            reservation.bind(("127.0.0.1", port))
        except OSError as error:
            raise RunProblem(f"cannot listen on 127.0.0.1:{port}: {error.strerror}") from None
        reservation.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        reservation.detach()
    return port


def _bind(host: str, port: int) -> None:
    family, kind, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    with socket.socket(family, kind) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(address)


def listens(pid: int, port: int) -> bool:
    """Return whether this process itself takes connections at a port that several may share."""
    listening = set[str]()
    for name in ("tcp", "tcp6"):
        with contextlib.suppress(FileNotFoundError):  # a kernel without IPv6
            for line in Path("/proc/net", name).read_text().splitlines()[1:]:
                fields = line.split()
                local, state = fields[1], fields[3]
                if state == _LISTEN and local.endswith(f":{port:04X}"):
                    listening.add(f"socket:[{fields[9]}]")
    return not sockets_of(pid).isdisjoint(listening)


def sockets_of(pid: int) -> set[str]:
    """Return the names under which /proc lists a process's open files, its sockets among them."""
    names = set()
    with contextlib.suppress(FileNotFoundError):  # it has ended
        for entry in os.scandir(f"/proc/{pid}/fd"):
            with contextlib.suppress(FileNotFoundError):
                names.add(os.readlink(entry.path))
    return names


def can_bind(path: Path) -> bool:
    """Returns whether a socket can be made at this path; if not, its server listens on 127.0.0.1.

    It cannot if the name is too long, or in a folder of a file system without sockets, such as one
    that is mounted from another kind of machine.
    """
    try:
        if len(str(path.absolute()).encode()) > _LONGEST_PATH:
            return False
    except UnicodeEncodeError:  # no UTF-8: it could not stand in a URL
        return False
    # Of a name no longer, in the folder or the nearest parent that exists.
    folder = next(parent for parent in path.absolute().parents if parent.exists())
    trial = folder / f".{secrets.token_hex(4)}"
    try:
        with socket.socket(socket.AF_UNIX) as probe:
            probe.bind(str(trial))
        trial.unlink()
    except OSError:
        return False
    return True
