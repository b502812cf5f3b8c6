"""Bounds the events that a runner stores in Redis for resuming, by stream, tenant and runner.

They are counted here, without asking Redis. Events over a bound are deleted, the oldest first: live
readers do not notice, and a reader that resumes learns that the events have expired.
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
    expires_at: float
    bytes: int = 0
    ended: bool = False
    half: int = 0  # number of the last event of the older half, 0: unknown
    since_half: int = 0  # bytes


class StoredEvents:
    def __init__(self) -> None:
        self._streams: dict[bytes, _Stream] = {}  # in the order of their last write
        self._ended: dict[
            bytes, dict[bytes, None]
        ] = {}  # ended ones with bytes, by tenant; as above
        self.bytes: Counter[bytes] = Counter()  # by tenant
        self.total = 0
        self._checked_at = 0.0

    def add(
        self, stream_id: bytes, tenant: bytes, size: int, last: int, *, ended: bool, until: float
    ) -> dict[bytes, int]:
        """Count a write. Returns streams to delete events of: up to a number, or 0 for all.

        `last` is the number of the last event written, `until` the time when the stream expires.
        """
        stream = self._streams.pop(stream_id, None) or _Stream(tenant, until)
        self._streams[stream_id] = stream
        stream.expires_at, stream.ended = until, ended
        self._count(stream, size)
        if ended:
            self._ended.setdefault(tenant, {})[stream_id] = None
        stream.since_half += size
        if not stream.half and stream.bytes > STREAM_BYTES // 2:
            stream.half, stream.since_half = last, 0
        deletions = {}
        if stream.bytes > STREAM_BYTES:
            deletions[stream_id] = stream.half
            self._count(stream, stream.since_half - stream.bytes)
            stream.half, stream.since_half = last, 0
        while self.bytes[tenant] > TENANT_BYTES:
            deletions[self._evict(tenant)] = 0
        while self.total > RUNNER_BYTES:
            deletions[self._evict(max(self.bytes, key=self.bytes.__getitem__))] = 0
        return deletions

    def restart(self, stream_id: bytes) -> None:
        """Forget its bytes: it is written anew from its first event."""
        if stream := self._streams.pop(stream_id, None):
            self._count(stream, -stream.bytes)
            self._not_ended(stream.tenant, stream_id)

    forget = restart

    def forget_expired(self, now: float) -> None:
        if now - self._checked_at < CHECK_S:
            return
        self._checked_at = now
        for stream_id in [i for i, stream in self._streams.items() if stream.expires_at <= now]:
            self.forget(stream_id)

    def _evict(self, tenant: bytes) -> bytes:
        """Forget the bytes of the oldest ended stream, else of the largest. Returns its id."""
        victim = next(iter(self._ended.get(tenant, ())), None) or self._largest(tenant)
        stream = self._streams[victim]
        self._count(stream, -stream.bytes)
        stream.half = stream.since_half = 0
        self._not_ended(tenant, victim)
        return victim

    def _largest(self, tenant: bytes) -> bytes:
        of_tenant = {i: s.bytes for i, s in self._streams.items() if s.tenant == tenant}
        return max(of_tenant, key=of_tenant.__getitem__)

    def _not_ended(self, tenant: bytes, stream_id: bytes) -> None:
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
