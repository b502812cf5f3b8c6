"""The load of a pool in the last minutes, and since when each of its engines rests.

It lies in Redis between two looks. If it is lost, the hold time begins anew.
"""

from collections.abc import Collection
from typing import Self

import msgspec

from inference.energy.peaks import Peaks


class PoolHistory(msgspec.Struct, array_like=True):
    """Times are seconds by the wall's clock: whichever process looks next goes on with them."""

    peaks: Peaks
    resting: dict[str, float] = {}  # engines that rested at the last look: since when

    @classmethod
    def parse(cls, encoded: bytes | None, hold_s: float) -> Self:
        """Returns the stored history, or a new one: it was lost, or is for another hold time."""
        try:
            history = msgspec.msgpack.decode(encoded, type=cls) if encoded else None
        except msgspec.DecodeError:
            history = None
        if history is None or history.peaks.hold_s != hold_s:
            return cls(Peaks(hold_s))
        return history

    def packed(self) -> bytes:
        return msgspec.msgpack.encode(self)

    def see(self, now: float, demand: int, resting: Collection[str]) -> None:
        """Add a look at the pool. Whoever woke an engine meanwhile, it stays awake for a hold time:
        operators do, and a process in which resting is turned off.
        """
        self.peaks.add(now, demand)
        if self.resting.keys() - set(resting):
            self.peaks.restart(now)
        self.resting = {name: min(now, self.resting.get(name, now)) for name in resting}

    def rested_s(self, engine: str, now: float) -> float:
        return now - self.resting.get(engine, now)
