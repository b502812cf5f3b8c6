"""Each night all of the trail is verified; what it found stays, and is an event itself."""

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from audit import tasks
from audit.actions import Action
from audit.checks import full_verification
from audit.models import CheckRun, Event
from audit.verification.verify import verify
from audit.witnesses import delivery
from tests.audit.sealed import Trail, empty, superuser

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def trail(db: None, tmp_path: Path, settings: Any) -> Iterator[Trail]:
    settings.WITNESSES = [(tmp_path / "heard.jsonl").as_uri()]
    with superuser() as root:
        empty(root)
        yield Trail(root)


def the_event() -> Event:
    return Event.objects.get(action=Action.AUDIT_VERIFY, actor=full_verification.BY)


def test_a_trail_as_it_was_written(trail: Trail) -> None:
    trail.grow(rounds=3)
    delivery.feed_all()
    tasks.verify()
    made = CheckRun.objects.get(name=full_verification.NAME)
    assert (made.ok, made.problem, made.tenant_id) == (True, "", None)
    figures = {name: made.figures[name] for name in ("sealed", "checkpoints", "witnessed", "found")}
    assert figures == {"sealed": 45, "checkpoints": 3, "witnessed": 3, "found": 0}
    assert (the_event().success, the_event().detail["sealed"]) == (True, 45)


def test_an_event_that_was_changed(trail: Trail, caplog: pytest.LogCaptureFixture) -> None:
    trail.grow(rounds=3)
    delivery.feed_all()
    trail.root.execute("update audit_event set model = 'x' where id = (select min(id) from"
                       " audit_event)")  # fmt: skip
    trail.root.commit()
    with caplog.at_level(logging.ERROR):
        made = full_verification.run()
    assert (made.ok, made.figures["kinds"]) == (False, {"event_changed": 1})
    assert made.problem
    assert made.problem in caplog.text
    assert (the_event().success, the_event().detail["found"]) == (False, 1)


def test_a_witness_that_lost_what_it_heard(trail: Trail, tmp_path: Path) -> None:
    trail.grow(rounds=3)
    delivery.feed_all()
    (tmp_path / "heard.jsonl").unlink()
    assert full_verification.run().figures["kinds"] == {"witness_lost": 1}


def test_what_comes_while_it_looks_is_nothing_that_is_wrong(
    trail: Trail, monkeypatch: pytest.MonkeyPatch
) -> None:
    trail.grow(rounds=2)
    delivery.feed_all()

    def meanwhile(opened: psycopg.Connection[Any], **options: Any) -> Any:
        opened.execute("select 1")  # from here on it sees nothing new
        trail.grow(rounds=2)
        delivery.feed_all()
        return verify(opened, **options)

    monkeypatch.setattr("audit.checks.full_verification.verify", meanwhile)
    made = full_verification.run()
    assert made.ok, made.problem
    assert made.figures["checkpoints"] == made.figures["witnessed"] == 2


def test_that_it_could_not_look_is_no_good_news(
    trail: Trail, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away() -> None:
        raise psycopg.OperationalError("gone")

    monkeypatch.setattr(full_verification, "open_trail", away)
    made = full_verification.run()
    assert (made.ok, made.problem) == (False, "cannot verify: gone")
    assert made.figures["kinds"] == {full_verification.CANNOT_RUN: 1}
    assert not the_event().success


def test_the_beat_has_it() -> None:
    from config.celery import app

    assert "audit.verify" in [entry["task"] for entry in app.conf.beat_schedule.values()]
