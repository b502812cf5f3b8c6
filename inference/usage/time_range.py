"""A stretch of time that a usage page shows, and the roll-up that answers for it.

Days are the tenant's own for up to 31 days: hours are summed between its midnights (where a zone
is off by half an hour, an hour counts for the day in which it begins). A longer stretch, and one
over all tenants, is summed from the days of UTC.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from zoneinfo import ZoneInfo

from django.db.models.functions import TruncDay, TruncHour
from django.utils import timezone

from inference.models.rollup import UsageDay, UsageHour

MOST_DAYS = 366
OWN_DAYS = 31  # as long as days are the tenant's own
HOURLY_DAYS = 3  # as long as there is a point for each hour
_HOUR, _DAY = timedelta(hours=1), timedelta(days=1)


@dataclass(frozen=True, slots=True)
class TimeRange:
    """From `since` to before `until`; both begin an hour or, with days, a day of `zone`."""

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
        """Whole days, both included; the later ones of more than MOST_DAYS."""
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
        """Each hour or day, oldest first: where it begins and where it ends."""
        begin = self.since
        while begin < self.until:
            end = begin + _HOUR if self.hourly else self._next_midnight(begin)
            yield begin, end
            begin = end

    @property
    def first(self) -> date:
        return self.since.astimezone(self.zone).date()

    @property
    def last(self) -> date:
        return (self.until - _HOUR).astimezone(self.zone).date()

    def _next_midnight(self, begin: datetime) -> datetime:
        return _midnight(begin.astimezone(self.zone).date() + _DAY, self.zone)


def today(zone_name: str) -> date:
    return timezone.now().astimezone(ZoneInfo(zone_name)).date()


def _next_hour(moment: datetime) -> datetime:
    """The moment itself where it begins an hour of UTC, as all do but in a zone off by 30 min."""
    return (moment + _HOUR - timedelta(microseconds=1)).replace(minute=0, second=0, microsecond=0)


def _midnight(day: date, zone: tzinfo) -> datetime:
    """In UTC, in which times can be added to and compared whatever the clocks do."""
    return datetime.combine(day, time(), zone).astimezone(UTC)
