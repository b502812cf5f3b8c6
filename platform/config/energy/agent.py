"""The energy agent: the only part of Forebay that may lock the clocks of GPUs.

It takes two requests over a Unix socket, one packet each: `lock GPU MHZ` and `reset GPU`. A lock
holds for LEASE_S and has to be sent again until then: if its sender dies, or is silent, the driver
has the clock back within five seconds. docs/operations/energy.md describes the privileges.
"""

import contextlib
import logging
import socket
import struct
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

from config.energy.bounds import Bounds
from infrastructure.gpu_driver import Driver, GpuError

log = logging.getLogger(__name__)
LEASE_S = 4.0
LOOK_S = 0.25  # between looks at the leases
AGAIN_S = 1.0  # after a reset that failed
SENDER_S = 0.25  # for the packet of a connection, and for its answer
LONGEST = 128  # bytes of a packet
_CREDENTIALS = struct.Struct("iII")  # process, user, group
_USAGE = "say `lock GPU MHZ` or `reset GPU`"


class Lease(NamedTuple):
    """`mhz`: 0 where a reset has failed, and is tried again. `sender`: the id of its process."""

    mhz: int
    until: float
    sender: int = 0


class Clocks:
    """The locks that are in force, and until when."""

    def __init__(
        self, bounds: Bounds, driver: Driver, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._bounds, self._driver, self._clock = bounds, driver, clock
        self._leases: dict[str, Lease] = {}  # by GPU
        self._problems: dict[str, str] = {}  # by GPU: why it could not be reset

    def answer(self, request: str, sender: int = 0) -> str:
        """Do what a request says, and return `ok …`, or `refused: …` with the reason."""
        try:
            match request.split():
                case ["lock", gpu, mhz] if mhz.isascii() and mhz.isdecimal():
                    return self._lock(gpu, int(mhz), sender)
                case ["reset", gpu]:
                    self._require_known(gpu)
                    self._reset(gpu, "it was asked for")
                    return f"ok reset {gpu}{self._pretence}"
            return f"refused: {_USAGE}"
        except (GpuError, ValueError) as problem:
            log.warning("refused: %s", problem)
            return f"refused: {problem}"

    def expire(self) -> None:
        """Reset what nobody has asked for again in time."""
        now = self._clock()
        for gpu in [gpu for gpu, lease in self._leases.items() if lease.until <= now]:
            self._tries_reset(gpu, f"nobody asked for its clock for {LEASE_S:g} s")

    def reset_all(self, reason: str) -> bool:
        """Reset every GPU of the bounds. Returns whether the driver did so for all of them."""
        resets = [self._tries_reset(gpu, reason) for gpu in self._bounds.gpus]
        return all(resets)

    def _tries_reset(self, gpu: str, reason: str) -> bool:
        try:
            self._reset(gpu, reason)
        except Exception as problem:  # whatever it is, the others are reset, and this one again
            if self._problems.get(gpu) != str(problem):  # it is tried again every second
                log.error("cannot reset: %s", problem)
            self._problems[gpu] = str(problem)
            self._leases[gpu] = Lease(0, self._clock() + AGAIN_S)
            return False
        self._problems.pop(gpu, None)
        return True

    def _lock(self, gpu: str, mhz: int, sender: int) -> str:
        self._require_known(gpu)
        if mhz not in (allowed := self._bounds.gpus[gpu]):
            raise ValueError(
                f"GPU {gpu} may have {allowed.lowest_mhz} to {allowed.highest_mhz} MHz, not {mhz}"
            )
        before = self._leases.get(gpu, Lease(0, 0.0))
        if before.mhz and before.sender != sender:  # two governors, or one and a sweep
            raise ValueError(f"process {before.sender} has locked GPU {gpu}")
        if before.mhz != mhz:
            log.info("GPU %s: lock at %d MHz%s", gpu, mhz, self._pretence)
        # Before the call: if it fails half-way, the lease resets what it may have done.
        self._leases[gpu] = Lease(mhz, self._clock() + LEASE_S, sender)
        if not self._bounds.dry_run:
            self._driver.lock(gpu, mhz)  # also a known one: the driver may have been restarted
        return f"ok lock {gpu} {mhz}{self._pretence}"

    def _reset(self, gpu: str, reason: str) -> None:
        if not self._bounds.dry_run:
            self._driver.reset(gpu)
        log.info("GPU %s: reset, %s%s", gpu, reason, self._pretence)
        self._leases.pop(gpu, None)

    def _require_known(self, gpu: str) -> None:
        if gpu not in self._bounds.gpus:
            raise ValueError(f"the bounds name no GPU {gpu[:LONGEST]!r}")

    @property
    def _pretence(self) -> str:
        return " (dry run)" if self._bounds.dry_run else ""


class Server:
    """The socket of the agent. It serves one connection after the other, each for a moment."""

    def __init__(self, path: Path, users: Iterable[int]) -> None:
        self._users = frozenset(users)
        path.unlink(missing_ok=True)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._socket.bind(str(path))
        path.chmod(0o666)  # the folder decides who sees it, and the user's number who is served
        self._socket.listen(16)
        self._socket.settimeout(LOOK_S)

    def serve_one(self, answer: Callable[[str, int], str]) -> None:
        """Wait LOOK_S for a connection and answer its request."""
        try:
            connection, _address = self._socket.accept()
        except TimeoutError:
            return
        with connection, contextlib.suppress(OSError, UnicodeError):
            process, user = _peer_of(connection)
            if user not in self._users:
                log.warning("refused: user %d is not in the bounds", user)
                return  # without waiting for anything from there
            connection.settimeout(SENDER_S)
            reply = answer(connection.recv(LONGEST).decode("ascii"), process)
            connection.sendall(reply.encode()[:1024])

    def close(self) -> None:
        self._socket.close()


def serve(clocks: Clocks, server: Server, goes_on: Callable[[], bool]) -> None:
    """Serve until `goes_on` says no. Whatever ends it, all clocks are reset first."""
    try:
        clocks.reset_all("the agent starts")
        while goes_on():
            server.serve_one(clocks.answer)
            clocks.expire()
    finally:
        clocks.reset_all("the agent ends")
        server.close()


def _peer_of(connection: socket.socket) -> tuple[int, int]:
    """Returns the process and the user at the other end, by the kernel's word."""
    packed = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    process, user, _group = _CREDENTIALS.unpack(packed)
    return process, user
