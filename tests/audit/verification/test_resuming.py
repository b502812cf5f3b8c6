"""After a restore sealing goes on: what has no seal gets one, once, and the trail says so."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from io import BytesIO, StringIO
from pathlib import Path
from random import Random

import pytest
from django.core.management import CommandError, call_command
from django.db import DatabaseError, connection, transaction

from audit.checks import catalogue_check, resume_after_restore
from audit.exports import export_format
from audit.models import Checkpoint, Event, Seal, SealMark
from audit.proof import seal
from audit.proof.seal_mark import MarkLost, SetBack, unsealed_age
from audit.verification.verify import Witness
from tests.audit.sealed import ACME, Trail, empty, superuser
from tests.audit.verification.intruder import Intruder

pytestmark = pytest.mark.django_db(transaction=True)
AHEAD = 2**40  # transactions that the database of before had counted more


@pytest.fixture
def trail(db: None) -> Iterator[Trail]:
    with superuser() as root:
        empty(root)
        yield Trail(root)


def write(trail: Trail, events: int) -> None:
    for _ in range(events):
        trail.write(at=datetime.now(UTC) - timedelta(hours=2))
    trail.root.commit()


def as_from_a_dump(trail: Trail) -> None:
    """Here the count cannot be lowered, so that the transactions of before are raised."""
    trail.root.execute("update audit_event set xid = xid + %s where xid < %s", [AHEAD, AHEAD])
    trail.root.execute("update audit_sealmark set xid = xid + %s where xid > 0", [AHEAD])
    trail.root.commit()


def all_once(trail: Trail) -> None:
    """Everything is under seal, and nothing twice."""
    while seal.seal_round():
        pass
    sealed = [event for ids in Seal.objects.values_list("event_ids", flat=True) for event in ids]
    assert sorted(sealed) == sorted(Event.objects.values_list("id", flat=True))
    trail.root.rollback()
    report = trail.verify()
    assert report.ok, report.findings


# Restored from a dump ----------------------------------------------------------------------------
def test_the_self_check_says_what_to_do(trail: Trail) -> None:
    trail.grow(rounds=1)
    as_from_a_dump(trail)
    write(trail, 1)
    (problem,) = [one for one in catalogue_check.run().figures["problems"] if "seal" in one]
    assert "audit_resume --after-restore" in problem
    drift = Event.objects.get(action="audit:drift")
    assert "audit_resume" in str(drift.detail)


def test_what_was_not_under_seal_comes_next(trail: Trail) -> None:
    trail.grow(rounds=2)
    write(trail, 3)  # dumped without a seal
    as_from_a_dump(trail)
    write(trail, 4)  # of after the restore
    with pytest.raises(SetBack):
        seal.seal_round()
    last = Checkpoint.objects.order_by("-n")[0].n
    done = resume_after_restore.resume()
    assert (done.sealed, done.findings, done.checkpoint) == (3, 0, last)
    event = Event.objects.get(action="audit:resume")
    assert (event.detail["sealed"], event.detail["why"]) == (3, "SetBack")
    assert unsealed_age() > 60
    assert seal.seal_round() == 5
    all_once(trail)
    trail.grow(rounds=2)
    all_once(trail)
    assert unsealed_age() == 0


def test_an_export_has_everything_once(trail: Trail) -> None:
    trail.grow(rounds=1)
    as_from_a_dump(trail)
    write(trail, 4)
    resume_after_restore.resume()
    all_once(trail)
    write(trail, 4)
    file = BytesIO()
    export_format.write(file, tenant_id=ACME)
    lines = [one for one in file.getvalue().splitlines() if b'"type":"event"' in one]
    assert len(lines) == Event.objects.filter(tenant_id=ACME).count()


def test_the_count_comes_past_the_mark_unseen(trail: Trail) -> None:
    trail.grow(rounds=1)
    as_from_a_dump(trail)
    write(trail, 4)
    with pytest.raises(SetBack):
        seal.seal_round()
    trail.root.execute("update audit_sealmark set xid = 5")  # as if it had been so far before
    trail.root.execute("update audit_event set xid = 4 where xid > %s", [AHEAD])
    trail.root.commit()
    with pytest.raises(SetBack):
        seal.seal_round()
    assert resume_after_restore.resume().sealed == 0
    all_once(trail)


def test_restored_twice(trail: Trail) -> None:
    for _ in range(2):
        trail.grow(rounds=1)
        write(trail, 2)
        as_from_a_dump(trail)
        write(trail, 2)
        assert resume_after_restore.resume().sealed == 2
        all_once(trail)
    restarts = SealMark.objects.get().restarts
    assert len(restarts) == 2
    assert restarts == sorted(restarts)


def test_an_order_of_before_is_still_looked_at(trail: Trail) -> None:
    trail.grow(rounds=1)
    as_from_a_dump(trail)
    resume_after_restore.resume()
    all_once(trail)
    tenant, ids = Seal.objects.filter(size__gt=1).values_list("tenant_id", "event_ids")[0]
    trail.root.execute("update audit_event set xid = xid - 1 where id = %s", [ids[-1]])
    found = trail.verify().findings
    assert {one.kind for one in found} == {"event_moved"}


# The mark is gone --------------------------------------------------------------------------------
def test_without_its_mark_it_seals_nothing_twice(trail: Trail) -> None:
    trail.grow(rounds=2)
    seals = Seal.objects.count()
    trail.root.execute("delete from audit_sealmark")
    trail.root.commit()
    with pytest.raises(MarkLost, match="audit_resume"):
        seal.seal_round()
    assert [one for one in catalogue_check.run().figures["problems"] if "audit_sealmark" in one]
    assert Seal.objects.count() == seals
    assert resume_after_restore.resume().why == "MarkLost"
    all_once(trail)


def test_restarts_are_found_again(trail: Trail) -> None:
    trail.grow(rounds=1)
    as_from_a_dump(trail)
    resume_after_restore.resume()
    all_once(trail)
    before = SealMark.objects.get()
    trail.root.execute("delete from audit_sealmark")
    trail.root.commit()
    resume_after_restore.resume()
    after = SealMark.objects.get()
    assert after.restarts == before.restarts
    assert (after.xid, after.event_id) == (before.xid, before.event_id)
    all_once(trail)


@pytest.mark.parametrize(
    "statement",
    [
        "delete from audit_sealmark",
        "update audit_sealmark set xid = xid - 1",
        "update audit_sealmark set event_id = event_id - 1",
        "update audit_sealmark set restarts = array[9223372036854775807]",
        "update audit_sealmark set set_back = false",
        "insert into audit_sealmark (id, xid, event_id, at) values (2, 0, 0, now())",
    ],
)
def test_the_application_cannot_set_it_back(trail: Trail, statement: str) -> None:
    trail.grow(rounds=1)
    SealMark.objects.update(set_back=True)
    before = SealMark.objects.values().get()
    with pytest.raises(DatabaseError), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(statement)
    assert SealMark.objects.values().get() == before


@pytest.mark.parametrize("at", ["infinity", "-infinity", "1999-12-31", "2200-01-02"])
def test_an_event_has_a_time_that_a_clock_shows(trail: Trail, at: str) -> None:
    """An infinite one stopped the sealer each second."""
    with pytest.raises(DatabaseError, match="of_a_clock"), connection.cursor() as cursor:
        cursor.execute(
            "insert into audit_event (at, action, actor, route, model, upstream, success, "
            "error_code, detail) values (%s, 'tenant:create', 'x', '', '', '', true, '', '{}')",
            [at],
        )


# What is looked at first, and what was lost ------------------------------------------------------
def test_a_trail_that_is_not_whole_is_told_of(trail: Trail) -> None:
    trail.grow(rounds=2)
    (ids,) = Seal.objects.values_list("event_ids")[0]
    trail.root.execute("update audit_event set actor = 'key:nobody' where id = %s", [ids[0]])
    as_from_a_dump(trail)
    write(trail, 2)
    said = StringIO()
    with pytest.raises(CommandError, match="--despite-findings"):
        call_command("audit_resume", "--after-restore", stdout=said)
    assert "FOUND event_changed" in said.getvalue()
    assert "event_unsealed" not in said.getvalue()
    with pytest.raises(SetBack):
        seal.seal_round()
    call_command("audit_resume", "--after-restore", "--despite-findings", stdout=said)
    assert Event.objects.get(action="audit:resume").detail["findings"] == 1
    assert seal.seal_round() == 3


def test_what_a_witness_heard_and_the_backup_has_not(trail: Trail, tmp_path: Path) -> None:
    """As a base backup of before the last two rounds: its count goes on by itself."""
    trail.grow(rounds=4)
    heard = list(trail.witnessed)
    file = tmp_path / "heard.jsonl"
    file.write_bytes(b"\n".join(heard) + b"\n")
    Intruder(trail.root, Random(1))._forget_after(2)
    trail.root.commit()
    said = StringIO()
    call_command("audit_resume", "--after-restore", "--witness", str(file), stdout=said)
    assert "a witness knows 2 after it" in said.getvalue()
    detail = Event.objects.get(action="audit:resume").detail
    assert (detail["checkpoint"], detail["lost_checkpoints"], detail["why"]) == (2, 2, "")
    trail.grow(rounds=3)
    report = trail.verify(witnesses=[Witness("w", [*heard, *trail.witnessed[2:]])])
    assert {one.kind for one in report.findings} == {"witness_differs"}
    assert any("audit:resume" in note and "lost the 2 checkpoints" in note for note in report.notes)
