"""When a quota's day or month begins and ends: at midnight in the tenant's time zone.

A day has 23, 24 or 25 hours. Where the clocks are put forward at midnight, the day begins when
they are; where midnight comes twice, with the first.
"""

from datetime import UTC, date, datetime, time, timedelta
from functools import cached_property
from typing import NamedTuple
from zoneinfo import ZoneInfo


class _Bounds(NamedTuple):
    starts: datetime
    ends: datetime


class Bounds(_Bounds):
    """From `starts` on, and before `ends`; both UTC."""

    @cached_property
    def starts_text(self) -> str:
        return self.starts.isoformat()

    @cached_property
    def ends_text(self) -> str:
        return self.ends.isoformat()


_latest: dict[tuple[str, str], Bounds] = {}  # as many as there are time zones, twice


def bounds(window: str, at: datetime, zone: str) -> Bounds:
    """Of the day or month in which `at` (aware) lies. Raises ZoneInfoNotFoundError."""
    known = _latest.get((window, zone))
    if known is None or not known.starts <= at < known.ends:
        known = _latest[window, zone] = _found(window, at, ZoneInfo(zone))
    return known


def _found(window: str, at: datetime, zone: ZoneInfo) -> Bounds:
    today = at.astimezone(zone).date()
    first = today if window == "day" else today.replace(day=1)
    return Bounds(_midnight(first, zone), _midnight(_after(window, first), zone))


def _after(window: str, first: date) -> date:
    if window == "day":
        return first + timedelta(days=1)
    return (first + timedelta(days=31)).replace(day=1)


def _midnight(day: date, zone: ZoneInfo) -> datetime:
    return datetime.combine(day, time(), zone).astimezone(UTC)


def day_bounds(day: date, zone: str) -> Bounds:
    """Of a calendar day."""
    there = ZoneInfo(zone)
    return Bounds(_midnight(day, there), _midnight(day + timedelta(days=1), there))
