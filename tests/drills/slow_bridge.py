"""A slow bridge: `python -m tests.drills.slow_bridge DELAY_MS LOSS_PERCENT OUTSIDE ZONE ZONE ...`.

It forwards Ethernet frames among its ports. Those from one zone to another come late, and some are
lost; those from and to the outside are neither. The kernel does so by `tc netem`, if it has it.
"""

import heapq
import itertools
import random
import selectors
import socket
import sys
import time

_ALL = 0x0300  # every protocol, in network order
_LARGEST = 65_600


class Bridge:
    def __init__(self, delay_s: float, loss: float, outside: str, zones: list[str]) -> None:
        self._delay_s, self._loss, self._outside = delay_s, loss, outside
        self._ports = {name: _opened(name) for name in (outside, *zones)}
        self._port_of: dict[bytes, str] = {}  # by hardware address
        self._waiting: list[tuple[float, int, str, bytes]] = []
        self._count = itertools.count()

    def run(self) -> None:
        with selectors.DefaultSelector() as selector:
            for name, port in self._ports.items():
                selector.register(port, selectors.EVENT_READ, name)
            while True:
                for key, _ in selector.select(self._send_due()):
                    self._take(key.data)

    def _take(self, name: str) -> None:
        try:
            frame, address = self._ports[name].recvfrom(_LARGEST)
        except BlockingIOError:
            return
        if address[2] == socket.PACKET_OUTGOING:  # ours
            return
        destination, source = frame[:6], frame[6:12]
        self._port_of[source] = name
        known = self._port_of.get(destination)
        for to in [known] if known else [each for each in self._ports if each != name]:
            if to != name:
                self._put(name, to, frame)

    def _put(self, origin: str, to: str, frame: bytes) -> None:
        due = time.monotonic()
        if self._outside not in (origin, to):
            if random.random() < self._loss:
                return
            due += self._delay_s
        heapq.heappush(self._waiting, (due, next(self._count), to, frame))

    def _send_due(self) -> float | None:
        """Send what is due, and return the seconds until the next frame is."""
        while self._waiting:
            wait = self._waiting[0][0] - time.monotonic()
            if wait > 0:
                return wait
            _, _, to, frame = heapq.heappop(self._waiting)
            try:
                self._ports[to].send(frame)
            except OSError as problem:
                print(f"{to}: {len(frame)} bytes: {problem}", flush=True)
        return None


def _opened(name: str) -> socket.socket:
    port = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, _ALL)
    port.bind((name, 0))
    port.setblocking(False)
    return port


if __name__ == "__main__":
    delay_ms, percent, outside, *zones = sys.argv[1:]
    Bridge(float(delay_ms) / 1000, float(percent) / 100, outside, zones).run()
