"""The night window: batches use the engines in these hours, and little or nothing outside.

Hours are those of the tenant's time zone, computed anew for each check. So a clock that is set, in
either direction, takes effect at the next check and leaves no state behind; on days of 23 or 25
hours, the wall clock counts. Django is not imported: the settings read this.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

MINUTE = timedelta(minutes=1)
DAY = 24 * 60  # minutes


@dataclass(frozen=True, slots=True)
class Window:
    """A window from `opens` to `closes`, in minutes after midnight, which it may span.

    In its first and its last `ramp` minutes the number of simultaneous requests grows and falls
    evenly. Outside of it that number is `outside`.
    """

    opens: int
    closes: int
    ramp: int = 0
    outside: int = 0

    @classmethod
    def parse(cls, text: str, *, ramp: int = 0, outside: int = 0) -> "Window | None":
        """Parse "22:00-06:00"; None for "", which is any time. Raises ValueError."""
        if not text.strip():
            return None
        opens, _, closes = text.partition("-")
        window = cls(_minutes(opens), _minutes(closes), ramp, outside)
        if window.opens == window.closes:
            raise ValueError("it opens and closes at the same time")
        if ramp < 0 or outside < 0 or 2 * ramp > window.length:
            raise ValueError("its ramp is longer than half of it, or a number is negative")
        return window

    @classmethod
    def of(cls, fields: Mapping[str, Any]) -> "Window | None":
        """Returns a pool's window from `hours` ("" for any time), `ramp_minutes`, `outside`.

        Raises ValueError.
        """
        if unknown := sorted(set(fields) - {"hours", "ramp_minutes", "outside"}):
            raise ValueError(f"it has hours, ramp_minutes and outside, not {unknown[0]!r}")
        hours = fields.get("hours")
        numbers = [fields.get(name, 0) for name in ("ramp_minutes", "outside")]
        if not isinstance(hours, str):
            raise ValueError('`hours` must be a text like "22:00-06:00"')
        if not all(type(number) is int for number in numbers):
            raise ValueError("ramp_minutes and outside must be whole numbers")
        return cls.parse(hours, ramp=numbers[0], outside=numbers[1])

    @property
    def hours(self) -> str:
        """ "22:00-06:00"."""
        return "-".join(f"{at // 60:02}:{at % 60:02}" for at in (self.opens, self.closes))

    @property
    def length(self) -> int:
        """Minutes, on a day of 24 hours."""
        return (self.closes - self.opens) % DAY

    def at_once(self, now: datetime, zone: ZoneInfo, most: int) -> int:
        """Returns how many requests of a batch may be under way, `most` at the best time."""
        since, outside = self._since_opening(now.astimezone(zone)), min(self.outside, most)
        if since >= self.length:
            return outside
        if not self.ramp:
            return most
        share = min(1, (since + 1) / self.ramp, (self.length - since) / self.ramp)
        return max(outside, 1, int(most * share))

    def is_open(self, now: datetime, zone: ZoneInfo) -> bool:
        return self._since_opening(now.astimezone(zone)) < self.length

    def opens_next(self, now: datetime, zone: ZoneInfo) -> datetime:
        """Returns the next minute in which it is open. Each one is tested, for clock changes."""
        moment = now.astimezone(UTC).replace(second=0, microsecond=0)
        minutes = (moment + n * MINUTE for n in range(1, 2 * DAY))
        return next((each for each in minutes if self.is_open(each, zone)), now + DAY * MINUTE)

    def _since_opening(self, wall: datetime) -> int:
        return (wall.hour * 60 + wall.minute - self.opens) % DAY


def _minutes(text: str) -> int:
    try:
        at = time.fromisoformat(text.strip())
    except ValueError:
        raise ValueError(f"{text.strip()!r} is no time of day like 22:00") from None
    return at.hour * 60 + at.minute
