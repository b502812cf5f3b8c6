"""When the nightly verification runs, and that it ends with the process."""

import sys
from datetime import UTC, datetime, time
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from config import backup_settings, environment
from config.backup.verification_schedule import VerificationSchedule
from console.backups.record import Verified
from tests.e2e.ask import eventually

pytestmark = pytest.mark.unit
UTC_ZONE = ZoneInfo("UTC")


def at(day: int, hour: int, minute: int = 0) -> float:
    return datetime(2026, 11, day, hour, minute, tzinfo=UTC).timestamp()


@pytest.mark.parametrize(
    ("now", "base_at", "last", "is_due"),
    [
        (at(12, 2, 39), at(10, 9), at(11, 2, 40), False),  # not yet
        (at(12, 2, 40), at(10, 9), at(11, 2, 40), True),
        (at(12, 2, 50), at(10, 9), at(12, 2, 41), False),  # this night's has been
        (at(12, 15), at(10, 9), at(11, 2, 40), True),  # the platform did not run at night
        (at(12, 15), at(12, 9), 0, False),  # the first day: it waits for the night
        (at(13, 2, 40), at(12, 9), 0, True),
        (at(12, 15), 0, 0, False),  # no base
    ],
)
def test_it_runs_once_a_night_and_makes_up_for_one_that_was_missed(
    tmp_path: Path, now: float, base_at: float, last: float, is_due: bool
) -> None:
    Verified(at=last).write(tmp_path)
    schedule = VerificationSchedule(tmp_path, time(2, 40), UTC_ZONE)
    assert schedule.is_due(now, base_at) is is_due
    assert not VerificationSchedule(tmp_path, None, UTC_ZONE).is_due(now, base_at)


def test_the_time_of_day_is_that_of_the_time_zone(tmp_path: Path) -> None:
    schedule = VerificationSchedule(tmp_path, time(2, 40), ZoneInfo("Asia/Shanghai"))
    Verified(at=at(10, 20)).write(tmp_path)
    assert not schedule.is_due(at(11, 18, 39), at(9, 9))
    assert schedule.is_due(at(11, 18, 40), at(9, 9))


def test_one_that_leaves_no_record_is_not_begun_again_the_same_night(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun = tmp_path / "begun"
    command = (sys.executable, "-c", f"open({str(begun)!r}, 'a').write('x')")
    monkeypatch.setattr("config.backup.verification_schedule._COMMAND", command)
    schedule = VerificationSchedule(tmp_path, time(2, 40), UTC_ZONE)
    schedule.keep(at(12, 3), at(10, 9))
    eventually(lambda: begun.exists() and begun.read_text(), 30)
    schedule.stop()
    schedule.keep(at(12, 4), at(10, 9))
    schedule.stop()
    assert begun.read_text() == "x"


def test_it_ends_with_the_process_that_began_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = (sys.executable, "-c", "import time; time.sleep(600)")
    monkeypatch.setattr("config.backup.verification_schedule._COMMAND", command)
    schedule = VerificationSchedule(tmp_path, time(2, 40), UTC_ZONE)
    schedule.keep(at(12, 3), at(10, 9))
    schedule.stop()  # or it would wait for ten minutes


@pytest.mark.parametrize(("text", "expected"), [("", time(2, 40)), ("off", None)])
def test_its_variable(monkeypatch: pytest.MonkeyPatch, text: str, expected: time | None) -> None:
    monkeypatch.setenv("FOREBAY_BACKUP_VERIFY_AT", text)
    assert backup_settings.read().verify_at == expected


@pytest.mark.parametrize("text", ["4:05", "24:00", "at night"])
def test_what_is_no_time_of_day_is_refused(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv("FOREBAY_BACKUP_VERIFY_AT", text)
    with pytest.raises(environment.EnvironmentProblem, match="such as 02:40, or off"):
        backup_settings.read()
