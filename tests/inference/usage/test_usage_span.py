"""Stretches of time: whose midnights, which roll-up, which points."""

from datetime import UTC, date, datetime, timedelta

import pytest
from django.utils import timezone

from inference.models import UsageDay, UsageHour
from inference.usage.time_range import MOST_DAYS, TimeRange

pytestmark = pytest.mark.unit
NOW = datetime(2026, 3, 14, 20, 30, 15, tzinfo=UTC)


@pytest.fixture(autouse=True)
def _now(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timezone, "now", lambda: NOW)


def test_the_last_hours_end_with_the_present_one() -> None:
    span = TimeRange.last_hours(24, "Asia/Shanghai")
    assert (span.since, span.until) == (
        datetime(2026, 3, 13, 21, tzinfo=UTC),
        datetime(2026, 3, 14, 21, tzinfo=UTC),
    )
    assert len(list(span.periods())) == 24
    assert span.rollup is UsageHour


def test_days_begin_at_the_tenants_midnight() -> None:
    span = TimeRange.last_days(7, "Asia/Shanghai")  # where it is the 15th already
    assert (span.first, span.last) == (date(2026, 3, 9), date(2026, 3, 15))
    assert span.since == datetime(2026, 3, 8, 16, tzinfo=UTC)
    assert len(list(span.periods())) == 7
    assert span.rollup is UsageHour


def test_days_of_utc_are_at_hand() -> None:
    assert TimeRange.last_days(7, "UTC").rollup is UsageDay


def test_few_days_have_a_point_for_each_hour() -> None:
    span = TimeRange.days(date(2026, 3, 1), date(2026, 3, 3), "Asia/Shanghai")
    assert span.hourly
    assert len(list(span.periods())) == 72


def test_a_long_stretch_is_summed_from_the_days_of_utc() -> None:
    month = TimeRange.days(date(2026, 1, 1), date(2026, 1, 31), "Asia/Shanghai")
    assert (month.zone_name, month.rollup) == ("Asia/Shanghai", UsageHour)
    longer = TimeRange.days(date(2026, 1, 1), date(2026, 2, 1), "Asia/Shanghai")
    assert (longer.zone_name, longer.rollup) == ("UTC", UsageDay)
    assert longer.since == datetime(2026, 1, 1, tzinfo=UTC)


def test_this_month_begins_with_its_first_day() -> None:
    span = TimeRange.this_month("America/New_York")
    assert (span.first, span.last) == (date(2026, 3, 1), date(2026, 3, 14))


def test_a_day_of_23_hours_is_a_day() -> None:
    """In New York the clocks went forward on March 8, 2026."""
    span = TimeRange.days(date(2026, 3, 5), date(2026, 3, 10), "America/New_York")
    lengths = [end - begin for begin, end in span.periods()]
    assert lengths == [timedelta(hours=h) for h in (24, 24, 24, 23, 24, 24)]
    one = TimeRange.days(date(2026, 3, 8), date(2026, 3, 8), "America/New_York")
    assert len(list(one.periods())) == 23


@pytest.mark.parametrize("first", [date(2026, 3, 27), date(2026, 4, 1), date(2026, 10, 23)])
def test_the_time_before_has_as_many_whole_days(first: date) -> None:
    """In Berlin the clocks went forward on March 29, 2026, and back on October 25."""
    week = timedelta(days=7)
    span = TimeRange.days(first, first + week - timedelta(days=1), "Europe/Berlin")
    before = span.before
    assert (before.first, before.last) == (first - week, first - timedelta(days=1))
    assert (before.until, len(list(before.periods()))) == (span.since, 7)


def test_the_time_before_has_as_many_hours() -> None:
    span = TimeRange.last_hours(24, "Europe/Berlin")
    assert (span.before.since, span.before.until) == (span.since - timedelta(days=1), span.since)


def test_periods_leave_no_gap() -> None:
    for zone in ("UTC", "Asia/Kolkata", "Pacific/Kiritimati", "America/New_York"):
        span = TimeRange.days(date(2026, 3, 1), date(2026, 3, 20), zone)
        edges = list(span.periods())
        assert edges[0][0] == span.since
        assert edges[-1][1] == span.until
        assert all(a[1] == b[0] for a, b in zip(edges, edges[1:], strict=False))


def test_it_is_bounded() -> None:
    span = TimeRange.days(date(2000, 1, 1), date(2026, 3, 14), "UTC")
    assert len(list(span.periods())) == MOST_DAYS
    assert span.last == date(2026, 3, 14)
