"""The days of a report, and the days or weeks of its series, in the tenant's time zone."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from django.db.models.functions import TruncDay, TruncWeek

MOST_DAYS = 366
_DAY, _WEEK = timedelta(days=1), timedelta(days=7)


@dataclass(frozen=True, slots=True)
class Span:
    """Days from `first` to `last`, both included. A week begins on Monday."""

    first: date
    last: date
    zone_name: str
    weekly: bool = False

    @property
    def since(self) -> datetime:
        return self._midnight(self.first)

    @property
    def until(self) -> datetime:
        return self._midnight(self.last + _DAY)

    def begins(self, field: str) -> TruncDay | TruncWeek:
        """Returns the day or week of a row, as its midnight."""
        trunc = TruncWeek if self.weekly else TruncDay
        return trunc(field, tzinfo=ZoneInfo(self.zone_name))

    def periods(self) -> Iterator[date]:
        """Yields the first day of each day or week, oldest first."""
        day = self.first - timedelta(days=self.first.weekday()) if self.weekly else self.first
        while day <= self.last:
            yield day
            day += _WEEK if self.weekly else _DAY

    def last_day(self, begins: date) -> date:
        """Returns the last day of the period that begins then."""
        return min(begins + (_WEEK - _DAY if self.weekly else timedelta()), self.last)

    def _midnight(self, day: date) -> datetime:
        return datetime.combine(day, time(), ZoneInfo(self.zone_name)).astimezone(UTC)
