"""The highest load of the last minutes: what may go down only after it has been low for so long.

Load that goes up counts at once, load that goes down when `hold_s` is over. So whatever swings
faster than that moves nothing.
"""

import math

import msgspec

_BUCKETS = 20  # in `hold_s`
_GAP = 4  # buckets without a reading: what happened meanwhile is unknown


class Peaks(msgspec.Struct, array_like=True):
    """Readings in order of time, by the wall's clock: they may be stored and read elsewhere."""

    hold_s: float
    since: float = math.inf  # the first reading of an unbroken series
    last: float = -math.inf
    highest: dict[int, float] = {}  # by number of the bucket

    def add(self, now: float, load: float) -> None:
        """Add a reading. After a gap, or a clock that was set back, the series begins anew."""
        if not 0 <= now - self.last <= _GAP * self._bucket_s:
            self.restart(now)
        self.last = now
        number = int(now / self._bucket_s)
        if number not in self.highest:
            oldest = number - _BUCKETS
            self.highest = {n: peak for n, peak in self.highest.items() if n >= oldest}
        self.highest[number] = max(load, self.highest.get(number, 0.0))

    def restart(self, now: float) -> None:
        """Forget what was before: nothing goes down for another `hold_s`."""
        self.since, self.last, self.highest = now, now, {}

    @property
    def peak(self) -> float | None:
        """Returns the highest load of the last `hold_s`; None until it was observed for so long."""
        if self.last - self.since < self.hold_s:
            return None
        return max(self.highest.values())

    @property
    def _bucket_s(self) -> float:
        return self.hold_s / _BUCKETS
