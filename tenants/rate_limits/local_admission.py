"""Limits of one process while Redis is away: stricter than the shared ones, never open.

Each of N processes has 1/N of every limit. Concurrency cannot be divided so: the first processes
have the remainder, so that a limit of one admits somebody. Buckets start empty, so that nobody gets
a second burst; that of the day's stored bytes starts with a minute's worth, or every request would
wait for it. Redis is told about requests admitted here when it is back.
"""

import math
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import msgspec

from tenants.caller import Limits
from tenants.rate_limits.admission import LIGHT, MEGABYTE, Admission, Ask, TierRest

Busy = Callable[[str], Iterable[int]]
BUCKETS = 10_000
OWED = 10_000
MINUTES_A_DAY = 24 * 60


@dataclass(slots=True)
class _Bucket:
    per_minute: float
    size: float
    level: float
    at: float

    def fill(self, now: float) -> None:
        gained = max(0.0, now - self.at) * self.per_minute / 60
        self.level, self.at = min(self.size, self.level + gained), now

    def frees_in_ms(self, needed: float) -> int:
        return max(1, math.ceil((needed - self.level) * 60_000 / self.per_minute))


class LocalAdmission:
    """Limits of the `number`th of `processes`, from 1 on; 0 if the number is unknown."""

    def __init__(
        self, processes: int, clock: Callable[[], float] = time.monotonic, *, number: int = 0
    ) -> None:
        self._processes, self._number = max(1, processes), number or max(1, processes)
        self._share, self._clock = 1 / self._processes, clock
        self._buckets: OrderedDict[tuple[str, str], _Bucket] = OrderedDict()
        self._began = clock()
        self.owed: dict[str, Ask] = {}

    def begin(self) -> None:
        """Empties the buckets after Redis has gone; requests that Redis must be told about stay."""
        self._buckets.clear()
        self._began = self._clock()

    def admit(self, ask: Ask, busy: Busy = lambda owner: []) -> Admission:
        """Decides. `busy` returns the body sizes of an owner's earlier requests in progress."""
        now = self._clock()
        charges = list(self._charges(ask, now))
        paid = [c for c in charges if c[0] == "ip"] if ask.only_looks else charges
        closed = [self._refusal(bucket, tier, limit, n) for tier, limit, bucket, n in paid]
        if not ask.only_looks:
            closed += self._concurrency_refusals(ask, ask.key, "key_", ask.key_limits, busy)
            closed += self._concurrency_refusals(ask, ask.tenant, "", ask.limits, busy)
        if len(self.owed) >= OWED:  # more than Redis could be told later
            closed.append(Admission("concurrency", OWED, OWED, 1000))
        worst = max((c for c in closed if c), key=lambda c: c.frees_in_ms, default=None)
        if worst:
            return worst
        for _, _, bucket, n in paid:
            bucket.level -= n
        if paid if ask.only_looks else ask.limited:
            self.owed[ask.request_id] = ask
        return Admission("", requests=_left(charges, "rate"), tokens=_left(charges, "tokens"))

    def undo(self, request_id: str) -> bool:
        """Undoes an admission and its charges. Returns False if it was not made here."""
        ask = self.owed.pop(request_id, None)
        if ask is None:
            return False
        for _, _, bucket, n in self._charges(ask, self._clock()):
            bucket.level += n
        return True

    def over(self, request_id: str) -> None:
        """Frees the slot and tokens of a request that did not run; it still counts as a request."""
        if ask := self.owed.get(request_id):
            self.undo(request_id)
            self.owed[request_id] = rest = msgspec.structs.replace(ask, tokens=0, hold_s=0)
            for _, _, bucket, n in self._charges(rest, self._clock()):
                bucket.level -= n

    # Buckets -------------------------------------------------------------------------------------
    def _charges(self, ask: Ask, now: float) -> Iterator[tuple[str, int, _Bucket, float]]:
        """Yields (tier, limit, its bucket, the amount of this request)."""
        if ask.per_address and not ask.address_counted_at:
            n = ask.per_address
            yield "ip", n, self._bucket("ip", ask.address, n, n, now), 1
        for owner, prefix, limits in (
            (ask.key, "key_", ask.key_limits),
            (ask.tenant, "", ask.limits),
        ):
            if n := limits.requests_per_minute:
                bucket = self._bucket("rate", owner, n, limits.burst or n, now)
                yield f"{prefix}rate", n, bucket, ask.requests
            if n := limits.tokens_per_minute:
                yield f"{prefix}tokens", n, self._bucket("tokens", owner, n, n, now), ask.tokens
            if n := limits.megabytes_per_day * MEGABYTE:
                minute = n / MINUTES_A_DAY
                bucket = self._bucket("stored", owner, minute, n, now, level=minute * self._share)
                yield f"{prefix}stored", n, bucket, ask.bytes

    def _bucket(
        self, kind: str, owner: str, per_minute: float, size: int, now: float, level: float = 0
    ) -> _Bucket:
        """Returns a bucket; `level` is that of a new one."""
        bucket = self._buckets.get((kind, owner))
        if bucket is None:
            bucket = _Bucket(0, 0, level, self._began)
            self._buckets[kind, owner] = bucket
            if len(self._buckets) > BUCKETS:
                self._buckets.popitem(last=False)
                self._began = now  # a bucket that was dropped must not come back fuller
        bucket.per_minute, bucket.size = per_minute * self._share, max(1.0, size * self._share)
        bucket.fill(now)
        self._buckets.move_to_end((kind, owner))
        return bucket

    def _refusal(self, bucket: _Bucket, tier: str, limit: int, n: float) -> Admission | None:
        needed = min(n, bucket.size)
        if bucket.level >= needed:
            return None
        used = math.ceil(bucket.size - bucket.level)
        return Admission(tier, limit, used, bucket.frees_in_ms(needed), scope=tier)

    # Slots ---------------------------------------------------------------------------------------
    def _concurrency_refusals(
        self, ask: Ask, owner: str, prefix: str, limits: Limits, busy: Busy
    ) -> list[Admission]:
        most, most_bytes = limits.max_concurrency, limits.megabytes_in_flight * MEGABYTE
        if not most and not (most_bytes and ask.bytes > LIGHT):
            return []
        running = (ask for ask in self.owed.values() if ask.hold_s and ask.takes_slot)
        own = (ask for ask in running if owner in (ask.tenant, ask.key))
        sizes = [*(ask.bytes for ask in own), *busy(owner)]
        refusals = []
        if most and len(sizes) >= self._slots(most):
            tier = f"{prefix}concurrency"
            refusals.append(Admission(tier, most, len(sizes), 1000, scope=tier))
        flying = sum(size for size in sizes if size > LIGHT)
        heavy = most_bytes and flying and ask.bytes > LIGHT
        if heavy and flying + ask.bytes > most_bytes * self._share:
            tier = f"{prefix}bytes"
            refusals.append(Admission(tier, most_bytes, flying, 1000, scope=tier))
        return refusals

    def _slots(self, most: int) -> int:
        """Returns this process's part; the first processes have one more of a remainder."""
        return (most + self._processes - self._number) // self._processes


def _left(charges: list[tuple[str, int, _Bucket, float]], kind: str) -> TierRest | None:
    """Returns the rest of the tightest bucket of a kind."""
    buckets = [(limit, bucket) for tier, limit, bucket, _ in charges if tier.endswith(kind)]
    if not buckets:
        return None
    limit, bucket = min(buckets, key=lambda pair: pair[1].level)
    full = math.ceil((bucket.size - bucket.level) * 60_000 / bucket.per_minute)
    return TierRest(limit, max(0, int(bucket.level)), max(0, full))
