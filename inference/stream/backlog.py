"""Bounds the bytes that wait in a web process for slow clients, by stream, tenant and process.

Over a bound the largest stream is dropped: its reader gets an error event instead of the waiting
ones, and resumes with `Last-Event-ID`. Its generation goes on.
"""

from collections import Counter
from typing import Protocol

STREAM_BYTES = 4 * 1024 * 1024
TENANT_BYTES = 32 * 1024 * 1024
PROCESS_BYTES = 128 * 1024 * 1024


class Waiting(Protocol):
    tenant: bytes
    waiting: int  # bytes

    def drop(self) -> None:
        """Drop all that waits. It may be called only while a stream of the backlog changes."""


class Backlog:
    def __init__(self) -> None:
        self._streams: set[Waiting] = set()  # those with waiting bytes
        self.bytes: Counter[bytes] = Counter()  # by tenant
        self.total = 0

    def add(self, stream: Waiting, size: int) -> None:
        self._streams.add(stream)
        self._count(stream, size)
        if stream.waiting > STREAM_BYTES:
            stream.drop()
        if self.bytes[stream.tenant] > TENANT_BYTES:
            of_tenant = [other for other in self._streams if other.tenant == stream.tenant]
            max(of_tenant, key=_waiting).drop()
        if self.total > PROCESS_BYTES:
            max(self._streams, key=_waiting).drop()

    def take(self, stream: Waiting, size: int) -> None:
        self._count(stream, -size)
        if not stream.waiting:
            self._streams.discard(stream)

    def _count(self, stream: Waiting, size: int) -> None:
        stream.waiting += size
        self.total += size
        self.bytes[stream.tenant] += size
        if not self.bytes[stream.tenant]:
            del self.bytes[stream.tenant]


def _waiting(stream: Waiting) -> int:
    return stream.waiting
