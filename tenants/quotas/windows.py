"""Days and months of quotas, from midnight to midnight in the tenant's time zone.

A day has 23, 24 or 25 hours. If the clocks skip midnight, the day begins at the first moment after
it; if midnight comes twice, at the first one.
"""

from datetime import UTC, date, datetime, time, timedelta
from functools import cached_property
from typing import NamedTuple
from zoneinfo import ZoneInfo


class _Bounds(NamedTuple):
    starts: datetime
    ends: datetime


class Bounds(_Bounds):
    """The range from `starts` up to, but excluding, `ends`; both UTC."""

    @cached_property
    def starts_text(self) -> str:
        return self.starts.isoformat()

    @cached_property
    def ends_text(self) -> str:
        return self.ends.isoformat()


_latest: dict[tuple[str, str], Bounds] = {}  # at most two per time zone


def bounds(window: str, at: datetime, zone: str) -> Bounds:
    """Returns the day or month that contains `at` (aware). Raises ZoneInfoNotFoundError."""
    known = _latest.get((window, zone))
    if known is None or not known.starts <= at < known.ends:
        known = _latest[window, zone] = _compute(window, at, ZoneInfo(zone))
    return known


def _compute(window: str, at: datetime, zone: ZoneInfo) -> Bounds:
    today = at.astimezone(zone).date()
    if window == "day":
        return Bounds(_midnight(today, zone), _midnight(today + timedelta(days=1), zone))
    first = today.replace(day=1)
    following = (first + timedelta(days=31)).replace(day=1)
    return Bounds(_midnight(first, zone), _midnight(following, zone))


def _midnight(day: date, zone: ZoneInfo) -> datetime:
    return datetime.combine(day, time(), zone).astimezone(UTC)


def day_bounds(day: date, zone: str) -> Bounds:
    """Returns the bounds of a calendar day."""
    zone_info = ZoneInfo(zone)
    return Bounds(_midnight(day, zone_info), _midnight(day + timedelta(days=1), zone_info))
