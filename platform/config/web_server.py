"""A web process: `python -m config.web_server`.

Several processes (FOREBAY_WEB_PROCESSES) each bind the port with SO_REUSEPORT, and the kernel deals
out connections by a hash of their addresses. With one inherited socket, the process that wakes
first would take a whole burst, and clients that keep their connections would stay there. A process
that dies leaves the group with its socket: the others get all that is new.

Under systemd two or more share a socket that it holds (`take_inherited`): one is restarted
after the other, and no connection is refused meanwhile.
"""

import asyncio
import os
import socket
import sys
from collections.abc import Callable
from contextlib import ExitStack, suppress
from functools import partial
from types import FrameType
from typing import Any

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
os.environ.setdefault("FOREBAY_DATABASE_SCOPE", "none")

import uvicorn
from django.conf import settings

from config import process_heartbeat, tracing
from config.metrics.listener import listen
from config.metrics.process import set_role
from config.process_heartbeat import tell
from config.tls.configured_files import remedy
from config.tls.key_pair import BadCertificate
from inference import loop_heartbeats

LARGEST_MESSAGE = 1024 * 1024  # bytes of a websocket's message
FAILED = 3  # uvicorn's own exit code for a start that failed
LOOP = "web"
_FIRST_FD = 3  # after stdin, stdout, stderr
TICK_S = 1.0  # the Date of answers has seconds


class Server(uvicorn.Server):
    """A server that waits for its end; uvicorn's own polls ten times a second."""

    _tell: Callable[[], object] | None = None

    async def main_loop(self) -> None:
        tell("READY=1")
        ending = asyncio.Event()
        self._tell = partial(asyncio.get_running_loop().call_soon_threadsafe, ending.set)
        while not await self.on_tick(0):
            loop_heartbeats.beat(LOOP)
            with suppress(TimeoutError):
                async with asyncio.timeout(TICK_S):
                    await ending.wait()
        loop_heartbeats.forget(LOOP)  # connections end in their own time

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        super().handle_exit(sig, frame)
        tell("STOPPING=1")
        if self._tell:
            self._tell()


def main() -> None:
    try:
        sockets = take_inherited() or bound(
            settings.HOST, settings.PORT, shared=settings.WEB_PROCESSES > 1
        )
    except OSError as error:
        sys.exit(f"cannot listen on {settings.HOST}:{settings.PORT}: {error.strerror}")
    set_role("web")
    listen()
    tracing.begin()
    process_heartbeat.begin()
    server = Server(_config(_protocol()))
    server.run(sockets)
    if not server.started:
        sys.exit(FAILED)


def take_inherited() -> list[socket.socket]:
    """Take the sockets of systemd's socket unit, by LISTEN_FDS (sd_listen_fds(3)), if any.

    Their holder keeps them open while a process ends and the next one begins: a connection that
    comes meanwhile waits, and none is refused. Child processes do not see them.
    """
    count, process = os.environ.pop("LISTEN_FDS", "0"), os.environ.pop("LISTEN_PID", "")
    os.environ.pop("LISTEN_FDNAMES", None)
    if process != str(os.getpid()) or not count.isdecimal():
        return []
    inherited = [
        socket.socket(fileno=number) for number in range(_FIRST_FD, _FIRST_FD + int(count))
    ]
    for one in inherited:
        one.set_inheritable(False)
    return [one for one in inherited if one.type == socket.SOCK_STREAM]


def bound(host: str, port: int, *, shared: bool) -> list[socket.socket]:
    """Returns a socket for each address of the host. Clients connect once a server listens on it.

    Raises OSError.
    """
    addresses = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    unique = dict.fromkeys((family, address) for family, *_, address in addresses)
    return [_bound(family, address, shared=shared) for family, address in unique]


def _bound(family: int, address: object, *, shared: bool) -> socket.socket:
    with ExitStack() as unless_bound:
        one = unless_bound.enter_context(socket.socket(family, socket.SOCK_STREAM))
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if shared:
            one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if family == socket.AF_INET6:  # IPv4 has a socket of its own
            one.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        one.bind(address)  # type: ignore[arg-type]
        unless_bound.pop_all()
        return one


def _protocol() -> Any:
    """Returns the protocol as uvicorn takes it: a name, or a factory."""
    if not settings.TLS_CERTIFICATE:
        return "config.http.bounded_http:Bounded"
    from config.tls.handshake import secured
    from config.tls.served_certificates import Served

    files = settings.TLS_CERTIFICATE, settings.TLS_KEY
    try:
        return secured(Served("web", *files).context)
    except BadCertificate as problem:
        sys.exit(f"TLS: {problem}{remedy(files)}")


def _config(protocol: Any) -> uvicorn.Config:
    return uvicorn.Config(
        "config.asgi:application",
        loop="uvloop",
        http=protocol,
        ws="config.http.bounded_http:BoundedSocket",
        ws_max_size=LARGEST_MESSAGE,
        ws_ping_interval=20.0,  # uvicorn's default: finds clients of the chat that are gone
        ws_per_message_deflate=False,  # a kilobyte could become a megabyte before any check
        lifespan="on",
        access_log=False,
        timeout_graceful_shutdown=settings.DRAIN_S,
        log_level="warning",  # lower levels log the content of a websocket's messages
        log_config=None,  # the settings configure logging
        proxy_headers=False,
        server_header=False,
    )


if __name__ == "__main__":
    main()
