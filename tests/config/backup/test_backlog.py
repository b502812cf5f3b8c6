import pytest

from config.backup.write_ahead_log.backlog import Backlog

pytestmark = pytest.mark.unit


def test_what_was_written_up_to_a_position_is_stored_once_that_is() -> None:
    backlog = Backlog()
    for moment, written in ((1.0, 100), (2.0, 200), (3.0, 300)):
        backlog.add(moment, written)
    assert backlog.stored_until(99) is None
    assert backlog.stored_until(250) == 2.0
    assert backlog.stored_until(250) is None, "nothing is new"
    assert backlog.stored_until(300) == 3.0


def test_a_place_that_is_away_for_long_costs_no_memory() -> None:
    backlog = Backlog()
    for second in range(100_000):
        backlog.add(float(second), second)
    assert len(backlog._looks) <= 10_000
    assert backlog.stored_until(99_999) == 99_999.0
