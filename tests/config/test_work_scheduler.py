"""Beat sends what works off what waits while something waits, and once a minute all the same."""

import os
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace

import pytest
from celery.beat import Scheduler

from config.celery import app
from config.schedule import scheduler as schedulers
from config.schedule.scheduler import WORK, WorkScheduler

pytestmark = pytest.mark.unit


class Played:
    """A scheduler whose clock, work and messages are ours."""

    def __init__(self, scheduler: WorkScheduler) -> None:
        self.now, self.waiting, self.looks = 1000.0, set[str](), 0
        self.sent = list[tuple[float, str]]()
        self._scheduler = scheduler
        self._began = self.now

    def tasks(self) -> set[str]:
        self.looks += 1
        return self.waiting

    def run(self, seconds: float) -> list[str]:
        """Names of what was sent meanwhile."""
        self._began, until = self.now, self.now + seconds
        self.sent.clear()
        while self.now < until:
            self.now += self._scheduler.tick() or 0.001
        return [task for _, task in self.sent]

    def times(self, task: str) -> list[int]:
        return [round(at - self._began) for at, sent in self.sent if sent == task]


@pytest.fixture
def played(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Played]:
    app.loader.import_default_modules()
    scheduler = WorkScheduler(app, schedule_filename=str(tmp_path / "beat"))
    played = Played(scheduler)
    monkeypatch.setattr(schedulers, "time", SimpleNamespace(monotonic=lambda: played.now))
    monkeypatch.setattr(scheduler, "_waiting", SimpleNamespace(tasks=played.tasks, close=int))
    monkeypatch.setattr(WorkScheduler, "producer", None)
    monkeypatch.setattr(
        scheduler,
        "apply_entry",
        lambda entry, producer: played.sent.append((played.now, entry.task)),
    )
    yield played
    scheduler.close()


def test_it_is_the_one_that_beat_uses() -> None:
    assert app.conf.beat_scheduler == "config.schedule.scheduler:WorkScheduler"


def test_at_the_start_everything_is_sent_once(played: Played) -> None:
    assert sorted(played.run(50)) == sorted(work.task for work in WORK)


def test_what_waits_is_sent_at_its_pace(played: Played) -> None:
    played.run(1)
    played.waiting = {"audit.seal", "audit.delete", "inference.roll_up"}
    played.run(30)
    assert played.times("audit.seal") == list(range(30))
    assert len(played.times("audit.delete")) == 15
    assert len(played.times("inference.roll_up")) == 3
    assert played.times("inference.sweep") == []


def test_work_that_comes_in_is_sent_within_a_second(played: Played) -> None:
    played.run(20.4)
    played.waiting = {"inference.sweep"}
    assert played.run(0.99) == ["inference.sweep"]


def test_when_it_is_done_nothing_is_sent_any_more(played: Played) -> None:
    played.waiting = {"audit.seal"}
    played.run(5)
    played.waiting = set()
    assert played.run(50) == []


def test_without_work_everything_is_sent_once_a_minute(played: Played) -> None:
    played.run(1)
    played.run(300)
    assert all(played.times(work.task) == [59, 119, 179, 239, 299] for work in WORK)


def test_there_is_one_look_a_second(played: Played) -> None:
    played.run(100)
    assert 99 <= played.looks <= 101


def test_a_look_that_took_long_is_not_made_up_for(played: Played) -> None:
    played.run(1)
    played.looks = 0
    played.now += 30  # as while the broker was away
    played.run(5)
    assert played.looks <= 7


def test_a_message_expires(played: Played) -> None:
    assert all(work.expires_s >= work.every_s for work in WORK)


def test_entries_of_celery_are_sent_as_ever(
    played: Played, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Their clock is the system's."""
    entry = played._scheduler.schedule["self_check"]
    entry.last_run_at = entry.default_now() - timedelta(seconds=61)
    assert "audit.check" in played.run(3)


@pytest.mark.parametrize("leads", [True, False])
def test_a_beat_that_does_not_lead_sends_nothing(
    played: Played, monkeypatch: pytest.MonkeyPatch, leads: bool
) -> None:
    scheduler, sent = played._scheduler, list[str]()
    monkeypatch.delattr(scheduler, "apply_entry")
    monkeypatch.setattr(
        Scheduler, "apply_entry", lambda _self, entry, producer=None: sent.append(entry.task)
    )
    scheduler._waiting.leads = leads
    played.run(1)
    assert bool(sent) is leads


def test_a_file_shows_that_it_works(played: Played, tmp_path: Path) -> None:
    alive = tmp_path / "beat.alive"
    assert not alive.exists()
    played.run(2)
    os.utime(alive, (0, 0))
    played.run(2)
    assert alive.stat().st_mtime > 0
