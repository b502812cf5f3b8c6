"""Hosts that are network namespaces, on a bridge that the test is on too."""

import contextlib
import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import pytest

FIRST = "10.77"


@dataclass(frozen=True)
class Namespace:
    """A host with a network of its own: its name, its address, and its end of the cable."""

    name: str
    address: str

    @property
    def prefix(self) -> list[str]:
        """Put before a command, makes it run there."""
        return ["ip", "netns", "exec", self.name]

    @property
    def cable(self) -> str:
        return f"v{self.name}"

    def cut(self) -> None:
        """Nothing comes in or out, and nobody is told."""
        _ip("link", "set", self.cable, "down")

    def join(self) -> None:
        _ip("link", "set", self.cable, "up")


class Network:
    """`10.77.N.0/24`; the test is its last address."""

    def __init__(self, number: int) -> None:
        self._number, self._bridge = number, f"fb{number}"
        self._hosts: list[Namespace] = []

    def begin(self) -> None:
        _ip("link", "add", self._bridge, "type", "bridge")
        _ip("addr", "add", f"{FIRST}.{self._number}.254/24", "dev", self._bridge)
        _ip("link", "set", self._bridge, "up")

    def host(self) -> Namespace:
        at = len(self._hosts) + 1
        host = Namespace(f"fb{self._number}h{at}", f"{FIRST}.{self._number}.{at}")
        self._hosts.append(host)
        _ip("netns", "add", host.name)
        _ip("link", "add", host.cable, "type", "veth", "peer", "eth0", "netns", host.name)
        _ip("link", "set", host.cable, "master", self._bridge, "up")
        _ip("-n", host.name, "addr", "add", f"{host.address}/24", "dev", "eth0")
        for device in ("lo", "eth0"):
            _ip("-n", host.name, "link", "set", device, "up")
        return host

    def end(self) -> None:
        """With whatever still runs there, as a test that failed leaves it."""
        for host in self._hosts:
            for pid in _ip("netns", "pids", host.name).split():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(int(pid), signal.SIGKILL)
            _ip("link", "del", host.cable)  # sockets that wait for a last word keep a namespace
            _ip("netns", "del", host.name)
        _ip("link", "del", self._bridge)


@contextmanager
def network() -> Iterator[Network]:
    """Skips the test where nobody may make one."""
    made = Network(os.getpid() % 250)
    try:
        made.begin()
    except (OSError, subprocess.CalledProcessError) as problem:
        pytest.skip(f"hosts need network namespaces, which take root and iproute2: {problem}")
    try:
        yield made
    finally:
        made.end()


def _ip(*words: str) -> str:
    return subprocess.run(["ip", *words], check=True, capture_output=True, text=True).stdout
