"""The time range of a usage page, and the roll-up that it is read from.

Up to 31 days, days are those of the tenant's time zone: hours are summed between its midnights (in
a zone off by half an hour, an hour counts for the day in which it begins). A longer range, and one
over all tenants, is summed from the days of UTC.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from zoneinfo import ZoneInfo

from django.db.models.functions import TruncDay, TruncHour
from django.utils import timezone

from inference.models.rollup import UsageDay, UsageHour

MOST_DAYS = 366
OWN_DAYS = 31  # longest range with the tenant's own days
HOURLY_DAYS = 3  # longest range with a point for each hour
_HOUR, _DAY = timedelta(hours=1), timedelta(days=1)


@dataclass(frozen=True, slots=True)
class TimeRange:
    """A range from `since` to before `until`, in whole hours or days of `zone`."""

    since: datetime
    until: datetime
    zone: tzinfo
    hourly: bool

    @classmethod
    def last_hours(cls, hours: int, zone_name: str) -> "TimeRange":
        zone = ZoneInfo(zone_name)
        until = timezone.now().replace(minute=0, second=0, microsecond=0) + _HOUR
        return cls(until - hours * _HOUR, until, zone, hourly=True)

    @classmethod
    def days(cls, first: date, last: date, zone_name: str) -> "TimeRange":
        """Returns whole days, both included; at most the last MOST_DAYS."""
        first = max(first, last - timedelta(days=MOST_DAYS - 1))
        number = (last - first).days + 1
        zone = ZoneInfo(zone_name if number <= OWN_DAYS else "UTC")
        since, until = _midnight(first, zone), _midnight(last + _DAY, zone)
        if number <= HOURLY_DAYS:
            return cls(_next_hour(since), _next_hour(until), zone, hourly=True)
        return cls(since, until, zone, hourly=False)

    @classmethod
    def last_days(cls, number: int, zone_name: str) -> "TimeRange":
        last = today(zone_name)
        return cls.days(last - timedelta(days=number - 1), last, zone_name)

    @classmethod
    def this_month(cls, zone_name: str) -> "TimeRange":
        last = today(zone_name)
        return cls.days(last.replace(day=1), last, zone_name)

    @property
    def before(self) -> "TimeRange":
        """The time before it: as many hours, or as many days from midnight to midnight."""
        since = self.since - (self.until - self.since)
        if not self.hourly:
            days = self.last - self.first + _DAY
            since = _midnight(self.first - days, self.zone)
        return replace(self, since=since, until=self.since)

    @property
    def zone_name(self) -> str:
        return str(self.zone)

    @property
    def rollup(self) -> type[UsageHour] | type[UsageDay]:
        return UsageHour if self.hourly or self.zone_name != "UTC" else UsageDay

    @property
    def period(self) -> TruncHour | TruncDay:
        """The start of a row's hour or day."""
        if self.hourly:
            return TruncHour("starts", tzinfo=UTC)
        return TruncDay("starts", tzinfo=self.zone)

    def periods(self) -> Iterator[tuple[datetime, datetime]]:
        """Yields begin and end of each hour or day, oldest first."""
        begin = self.since
        while begin < self.until:
            next_day = begin.astimezone(self.zone).date() + _DAY
            end = begin + _HOUR if self.hourly else _midnight(next_day, self.zone)
            yield begin, end
            begin = end

    @property
    def first(self) -> date:
        return self.since.astimezone(self.zone).date()

    @property
    def last(self) -> date:
        return (self.until - _HOUR).astimezone(self.zone).date()


def today(zone_name: str) -> date:
    return timezone.now().astimezone(ZoneInfo(zone_name)).date()


def _next_hour(moment: datetime) -> datetime:
    """Returns the start of the next hour of UTC; the moment itself if it is one."""
    return (moment + _HOUR - timedelta(microseconds=1)).replace(minute=0, second=0, microsecond=0)


def _midnight(day: date, zone: tzinfo) -> datetime:
    """Returns midnight in UTC, where arithmetic is independent of clock changes."""
    return datetime.combine(day, time(), zone).astimezone(UTC)
