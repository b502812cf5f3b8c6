"""Hours of the week: DeepSeek's as they stand in its price list, and the edges."""

from datetime import UTC, datetime, timedelta

import pytest

from tenants.quotas.peak_hours import PeakHours

pytestmark = pytest.mark.unit
DEEPSEEK = PeakHours.parse("Mon-Fri 01:00-04:00, 06:00-10:00")
MONDAY = datetime(2026, 11, 23, tzinfo=UTC)


def at(text: str, days: int = 0) -> float:
    hours, minutes, seconds = map(float, text.split(":"))
    span = timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds)
    return (MONDAY + span).timestamp()


@pytest.mark.parametrize(
    ("time", "peak"),
    [
        ("00:59:59.999", False),
        ("01:00:00", True),
        ("03:59:59.999", True),
        ("04:00:00", False),
        ("05:59:59.999", False),
        ("06:00:00", True),
        ("09:59:59.999", True),
        ("10:00:00", False),
        ("23:59:59.999", False),
    ],
)
def test_the_first_moment_is_inside_and_the_last_is_not(time: str, peak: bool) -> None:
    for day in range(7):
        assert DEEPSEEK.covers(at(time, day)) == (peak and day < 5)


def test_a_window_over_midnight_belongs_to_the_day_on_which_it_begins() -> None:
    night = PeakHours.parse("Sun 16:30-00:30")
    assert not night.covers(at("16:29:59", 6))
    assert night.covers(at("16:30:00", 6))
    assert night.covers(at("00:29:59", 7))
    assert not night.covers(at("00:30:00", 7))
    assert not night.covers(at("00:00:00", 6))


def test_days_may_pass_the_end_of_the_week() -> None:
    weekend = PeakHours.parse("Sat-Mon 00:00-24:00")
    assert [weekend.covers(at("12:00:00", day)) for day in range(7)] == [
        *(True, False, False, False, False, True, True)
    ]


def test_without_days_every_day() -> None:
    assert all(PeakHours.parse("12:00-13:00").covers(at("12:30:00", day)) for day in range(7))


@pytest.mark.parametrize(
    "text",
    [
        "at night",
        "",
        "Mon-Fri",
        "Mo-Fr 01:00-04:00",
        "25:00-26:00",
        "24:30-24:59",
        "01:00-24:30",
        "24:00-01:00",
        "01:00-01:00",
        "1:00-4:00",
        "01:00-04:00,",
        "Mon-Fri 01:00",
    ],
)
def test_what_is_no_hours_of_the_week(text: str) -> None:
    with pytest.raises(ValueError, match="must be like|is not like|is no part of"):
        PeakHours.parse(text)
