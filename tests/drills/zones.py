"""Zones that are bridges, and hosts in them that are network namespaces: links can be cut and slow.

The kernel's own `tc netem` is not everywhere, nor are packet filters. One direction is cut by a
wrong hardware address, and slow_bridge.py forwards frames late where the kernel cannot.
"""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.servers.child import Child
from tests.hosts.network import Namespace

NOBODY = "02:00:00:00:00:01"  # a hardware address that no host has
CORE = ""  # the zone of those outside: clients
# SIOCETHTOOL: without checksums left to a network card that is none, frames can be forwarded by us.
_WHOLE_FRAMES = """
import array, fcntl, socket, struct, sys
with socket.socket() as s:
    for command in (0x17, 0x1f, 0x24):  # checksums, segments of TCP, segments of any protocol
        value = array.array("B", struct.pack("II", command, 0))
        fcntl.ioctl(s, 0x8946, struct.pack("16sP", sys.argv[1].encode(), value.buffer_info()[0]))
"""


class Zones:
    """`10.78.N.0/24`, one network. The caller is its last address."""

    def __init__(self, number: int, folder: Path) -> None:
        self._number, self._folder = number, folder
        self._core = f"fd{number}"
        self._zones: list[str] = []
        self.hosts: dict[str, Namespace] = {}
        self._zone_of: dict[str, str] = {}
        self._slow: Child | None = None

    def begin(self, *zones: str) -> None:
        _bridge(self._core)
        _ip("addr", "add", f"10.78.{self._number}.254/24", "dev", self._core)
        for zone in zones:
            _bridge(self._core + zone)
            _ip("link", "add", self._uplink(zone), "type", "veth", "peer", self._downlink(zone))
            _ip("link", "set", self._uplink(zone), "master", self._core + zone, "up")
            _ip("link", "set", self._downlink(zone), "master", self._core, "up")
            self._zones.append(zone)

    def host(self, name: str, zone: str = CORE) -> Namespace:
        address = f"10.78.{self._number}.{len(self.hosts) + 1}"
        host = Namespace(f"{self._core}{name}", address)
        self.hosts[name], self._zone_of[name] = host, zone
        _ip("netns", "add", host.name)
        _ip("link", "add", host.cable, "type", "veth", "peer", "eth0", "netns", host.name)
        _ip("link", "set", host.cable, "master", self._core + zone, "up")
        _ip("-n", host.name, "addr", "add", f"{address}/24", "dev", "eth0")
        for device in ("lo", "eth0"):
            _ip("-n", host.name, "link", "set", device, "up")
        return host

    def in_zone(self, zone: str) -> list[str]:
        return [name for name, own in self._zone_of.items() if own == zone]

    def mute(self, name: str) -> None:
        """Lose all that the host sends; it goes on hearing the others."""
        for other in self.hosts.values():
            if other != self.hosts[name]:
                self._neighbour("replace", name, other, "lladdr", NOBODY, "nud", "permanent")

    def unmute(self, name: str) -> None:
        for other in self.hosts.values():
            if other != self.hosts[name]:
                with contextlib.suppress(subprocess.CalledProcessError):
                    self._neighbour("del", name, other)

    def _neighbour(self, act: str, name: str, other: Namespace, *more: str) -> None:
        at = self.hosts[name].name
        _ip("-n", at, "neigh", act, other.address, *more, "dev", "eth0")

    def slow_down(self, delay_ms: int, loss_percent: float) -> None:
        """Delay frames between zones, each way, and lose some. Clients' frames are not delayed."""
        for host in self.hosts.values():
            _send_whole_frames("eth0", host.prefix)
        for zone in self._zones:
            _ip("link", "set", self._downlink(zone), "nomaster")
        _ip("link", "add", f"{self._core}-s", "type", "veth", "peer", f"{self._core}-t")
        _send_whole_frames(f"{self._core}-s", [])  # those of this machine, where clients run
        _ip("link", "set", f"{self._core}-s", "master", self._core, "up")
        _ip("link", "set", f"{self._core}-t", "up")
        zones = [self._downlink(zone) for zone in self._zones]
        words = [str(delay_ms), str(loss_percent), f"{self._core}-t", *zones]
        command = [sys.executable, "-m", "tests.drills.slow_bridge", *words]
        self._slow = Child(command, self._folder / "slow_bridge.log")

    def speed_up(self) -> None:
        if self._slow is None:
            return
        self._slow.stop()
        self._slow = None
        _ip("link", "del", f"{self._core}-s")
        for zone in self._zones:
            _ip("link", "set", self._downlink(zone), "master", self._core)

    def end(self) -> None:
        """Remove all, with whatever still runs there."""
        if self._slow:
            self._slow.stop()
        for host in self.hosts.values():
            for pid in pids(host):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            _ip("link", "del", host.cable)  # sockets that wait for a last word keep a namespace
            _ip("netns", "del", host.name)
        for zone in self._zones:
            _ip("link", "del", self._uplink(zone))
            _ip("link", "del", self._core + zone)
        _ip("link", "del", self._core)

    def _uplink(self, zone: str) -> str:
        return f"{self._core}{zone}-u"

    def _downlink(self, zone: str) -> str:
        return f"{self._core}{zone}-d"


@contextmanager
def zones(folder: Path, *names: str) -> Iterator[Zones]:
    """Raises OSError or subprocess.CalledProcessError where nobody may make a network."""
    made = Zones(os.getpid() % 250, folder)
    made.begin(*names)
    try:
        yield made
    finally:
        made.end()


def pids(host: Namespace) -> list[int]:
    return [int(pid) for pid in _ip("netns", "pids", host.name).split()]


def _bridge(name: str) -> None:
    _ip("link", "add", name, "type", "bridge")
    _ip("link", "set", name, "up")


def _send_whole_frames(device: str, prefix: list[str]) -> None:
    command = [*prefix, sys.executable, "-S", "-c", _WHOLE_FRAMES, device]
    subprocess.run(command, check=True)


def _ip(*words: str) -> str:
    return subprocess.run(["ip", *words], check=True, capture_output=True, text=True).stdout
