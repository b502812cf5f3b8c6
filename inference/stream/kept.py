"""How much a runner keeps in Redis to resume streams from: bounds by stream, tenant and runner.

Counted here, without asking Redis. What is over a bound goes, the oldest first: live readers do
not notice, and whoever comes back for it is told that the events are no longer kept.
"""

from collections import Counter
from dataclasses import dataclass

STREAM_BYTES = 8 * 1024 * 1024
TENANT_BYTES = 32 * 1024 * 1024
RUNNER_BYTES = 128 * 1024 * 1024
CHECK_S = 1.0


@dataclass(slots=True)
class _Stream:
    tenant: bytes
    gone_at: float  # by itself
    bytes: int = 0
    ended: bool = False
    half: int = 0  # number of the event up to which the older half goes, 0: not known yet
    since_half: int = 0  # bytes


class Kept:
    def __init__(self) -> None:
        self._streams: dict[bytes, _Stream] = {}  # whose last write is oldest first
        self._ended: dict[bytes, dict[bytes, None]] = {}  # that have bytes, by tenant; as above
        self.bytes: Counter[bytes] = Counter()  # by tenant
        self.total = 0
        self._checked_at = 0.0

    def add(
        self, stream_id: bytes, tenant: bytes, size: int, last: int, *, ended: bool, until: float
    ) -> dict[bytes, int]:
        """Streams of which events have to go: up to this number, 0 for all.

        `last`: number of the last event written; `until`: when it will be gone by itself.
        """
        stream = self._streams.pop(stream_id, None) or _Stream(tenant, until)
        self._streams[stream_id] = stream
        stream.gone_at, stream.ended = until, ended
        self._count(stream, size)
        if ended:
            self._ended.setdefault(tenant, {})[stream_id] = None
        stream.since_half += size
        if not stream.half and stream.bytes > STREAM_BYTES // 2:
            stream.half, stream.since_half = last, 0
        going = {}
        if stream.bytes > STREAM_BYTES:
            going[stream_id] = stream.half
            self._count(stream, stream.since_half - stream.bytes)
            stream.half, stream.since_half = last, 0
        while self.bytes[tenant] > TENANT_BYTES:
            going[self._let_go(tenant)] = 0
        while self.total > RUNNER_BYTES:
            going[self._let_go(max(self.bytes, key=self.bytes.__getitem__))] = 0
        return going

    def restart(self, stream_id: bytes) -> None:
        """It is written anew from its first event on."""
        if stream := self._streams.pop(stream_id, None):
            self._count(stream, -stream.bytes)
            self._not_ended(stream.tenant, stream_id)

    forget = restart

    def forget_gone(self, now: float) -> None:
        if now - self._checked_at < CHECK_S:
            return
        self._checked_at = now
        for stream_id in [i for i, stream in self._streams.items() if stream.gone_at <= now]:
            self.forget(stream_id)

    def _let_go(self, tenant: bytes) -> bytes:
        """Its oldest one that has ended, else the largest."""
        gone = next(iter(self._ended.get(tenant, ())), None) or self._largest(tenant)
        stream = self._streams[gone]
        self._count(stream, -stream.bytes)
        stream.half = stream.since_half = 0
        self._not_ended(tenant, gone)
        return gone

    def _largest(self, tenant: bytes) -> bytes:
        theirs = {i: s.bytes for i, s in self._streams.items() if s.tenant == tenant}
        return max(theirs, key=theirs.__getitem__)

    def _not_ended(self, tenant: bytes, stream_id: bytes) -> None:
        """It is gone, or has nothing left to give."""
        if ended := self._ended.get(tenant):
            ended.pop(stream_id, None)
            if not ended:
                del self._ended[tenant]

    def _count(self, stream: _Stream, size: int) -> None:
        stream.bytes += size
        self.total += size
        self.bytes[stream.tenant] += size
        if not self.bytes[stream.tenant]:
            del self.bytes[stream.tenant]
