"""The measured day of mixed work: its load and its figures. No platform runs here."""

import pytest

from bench.mixed.measured.__main__ import section
from bench.mixed.measured.clients import Answers, due_times
from bench.mixed.measured.day import Day, DayAlone, MeasuredDay, played
from bench.mixed.measured.fleet import SLOTS

pytestmark = pytest.mark.unit
DAY = Day(engines=2, seconds=1000, per_second=1.0)
ALONE = DayAlone(1000, 0, 0.1, 0.20, 0.1)


def test_a_day_has_one_peak_and_the_same_requests_each_time() -> None:
    times = list(due_times(10_000, 1.0, 7))
    assert times == sorted(times) == list(due_times(10_000, 1.0, 7))
    assert len(times) == pytest.approx(10_000, rel=0.05)
    noon = sum(4500 < time < 5500 for time in times)
    midnight = sum(time < 500 or time > 9500 for time in times)
    assert noon == pytest.approx(1800, rel=0.1)
    assert midnight == pytest.approx(200, rel=0.25)


def test_the_saved_part_is_that_of_two_fleets() -> None:
    day = MeasuredDay(DAY, ALONE, DayAlone(1000, 0, 0.1, 0.21, 0.1), gpu_s=800)
    assert day.saved == pytest.approx(0.8 / 2.8)
    assert day.slower == pytest.approx(1.05)
    assert "28.6% less hardware, first token p99 1.05x" in section(day)


def test_slots_in_use_are_counted_over_the_day() -> None:
    day = played(DAY, Answers([0.1, 0.3, 0.2], [100.0, 200.0, 100.0], failed=1))
    assert (day.requests, day.failed, day.first_token_p99_s) == (3, 1, 0.3)
    assert day.busy == pytest.approx(400 / (2 * SLOTS * 1000))
