"""Days and months of quotas begin at the tenant's midnight, whatever its clocks do."""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo, available_timezones

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenants.quotas import windows

pytestmark = pytest.mark.unit
ZONES = sorted(available_timezones() - {"localtime"})
moments = st.datetimes(datetime(1990, 1, 1), datetime(2037, 1, 1), timezones=st.just(UTC))


def hours(window: str, zone: str, year: int, month: int, day: int, hour: int = 0) -> float:
    moment = datetime(year, month, day, hour, tzinfo=ZoneInfo(zone))
    starts, ends = windows.bounds(window, moment, zone)
    return (ends - starts) / timedelta(hours=1)


def starts(window: str, zone: str, year: int, month: int, day: int, hour: int) -> datetime:
    moment = datetime(year, month, day, hour, tzinfo=ZoneInfo(zone))
    return windows.bounds(window, moment, zone).starts


def test_a_day_is_the_tenants_not_greenwichs() -> None:
    at = datetime(2026, 11, 25, 17, 0, tzinfo=UTC)
    assert windows.bounds("day", at, "UTC").starts == datetime(2026, 11, 25, tzinfo=UTC)
    shanghai = windows.bounds("day", at, "Asia/Shanghai")
    assert shanghai.starts == datetime(2026, 11, 25, 16, tzinfo=UTC)  # there it is the 26th
    assert shanghai.ends == datetime(2026, 11, 26, 16, tzinfo=UTC)


def test_days_when_the_clocks_change() -> None:
    assert hours("day", "Europe/Berlin", 2026, 3, 29, 12) == 23
    assert hours("day", "Europe/Berlin", 2026, 10, 25, 12) == 25
    assert hours("day", "Europe/Berlin", 2026, 10, 26, 12) == 24
    assert hours("day", "Australia/Lord_Howe", 2026, 4, 5, 12) == 24.5


def test_a_day_without_a_midnight_begins_when_the_clocks_are_put_forward() -> None:
    began = starts("day", "Africa/Cairo", 2026, 4, 24, 12)
    assert began == datetime(2026, 4, 23, 22, tzinfo=UTC)
    assert began.astimezone(ZoneInfo("Africa/Cairo")).hour == 1
    assert hours("day", "Africa/Cairo", 2026, 4, 24, 12) == 23


def test_of_two_midnights_the_first_begins_the_day() -> None:
    assert hours("day", "America/Havana", 2026, 11, 1, 12) == 25
    again = datetime(2026, 11, 1, 0, 30, fold=1, tzinfo=ZoneInfo("America/Havana"))
    bounds = windows.bounds("day", again, "America/Havana")
    assert bounds.starts == datetime(2026, 11, 1, 4, tzinfo=UTC)


def test_months() -> None:
    assert hours("month", "UTC", 2026, 2, 14) == 28 * 24
    assert hours("month", "UTC", 2028, 2, 29) == 29 * 24
    assert hours("month", "Europe/Berlin", 2026, 10, 31, 23) == 31 * 24 + 1
    assert starts("month", "Asia/Shanghai", 2026, 12, 31, 23).day == 30  # 16:00 UTC
    ends = windows.bounds("month", datetime(2026, 12, 31, tzinfo=UTC), "UTC").ends
    assert ends == datetime(2027, 1, 1, tzinfo=UTC)


@given(moments, st.sampled_from(ZONES), st.sampled_from(["day", "month"]))
def test_windows_cover_time_without_gap_or_overlap(at: datetime, zone: str, window: str) -> None:
    here = windows.bounds(window, at, zone)
    assert here.starts <= at < here.ends
    assert windows.bounds(window, here.ends - timedelta(microseconds=1), zone) == here
    assert windows.bounds(window, here.starts, zone) == here
    assert windows.bounds(window, here.ends, zone).starts == here.ends
    longest = timedelta(days=33) if window == "month" else timedelta(hours=49)
    assert timedelta(0) < here.ends - here.starts < longest


@given(moments, st.sampled_from(ZONES))
def test_a_calendar_day_is_the_window_of_its_moments(at: datetime, zone: str) -> None:
    here = windows.bounds("day", at, zone)
    assert windows.day_bounds(at.astimezone(ZoneInfo(zone)).date(), zone) == here
    assert isinstance(here.starts.astimezone(ZoneInfo(zone)).date(), date)
