"""What an older backup brings back is erased again, before anybody can look."""

from collections.abc import Iterator, Sequence
from datetime import timedelta
from io import StringIO
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from django.core.management import CommandError, call_command
from django.db import connection, models, transaction
from django.utils import timezone

from audit.erasure import deletion, execution, line_file, tombstones
from audit.erasure.own_erasers import KEYS
from audit.keys.keyring import Barred, Unreadable, keyring
from audit.models import DataKey, DeletionRequest, DeletionState, ErasureStep, Payload, Tombstone
from audit.retention import legal_hold
from config import celery, process_start
from inference.models import Conversation, Message
from tenants.models import Member, Tenant, User
from tenants.roles import Role
from tests.audit.subjects import HOSTED, Subject, a_member, asked, untouched
from tests.unguarded import unguarded

pytestmark = pytest.mark.django_db(transaction=True)
BACKED_UP: tuple[type[models.Model], ...] = (DataKey, Payload, Member, Conversation, Message)


@pytest.fixture(autouse=True)
def no_tombstones(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(execution, "QUIET", timedelta(0))
    tombstones.path().unlink(missing_ok=True)
    yield
    tombstones.path().unlink(missing_ok=True)


def erase(subject: Subject) -> DeletionRequest:
    request = deletion.ask(*subject.who, by="member:1", decides=True)
    execution.work()
    request.refresh_from_db()
    assert request.state == DeletionState.DONE
    return request


Rows = Sequence[tuple[type[models.Model], list[Any]]]


def backup(subject: Subject) -> Rows:
    tenant = subject.tenant.id
    return [(table, list(table._base_manager.filter(tenant_id=tenant))) for table in BACKED_UP]


def restore(rows: Rows, *, whole: bool) -> None:
    """`whole`: the backup knows nothing of the request either."""
    with unguarded():
        if whole:
            for forgotten in (ErasureStep, DeletionRequest, Tombstone):
                forgotten._base_manager.all().delete()
        for table, old in rows:
            there = set(table._base_manager.values_list("pk", flat=True))
            if table is Member:  # who has become somebody else meanwhile
                fresh = Member.objects.exclude(pk__in=[m.pk for m in old])
                fresh.filter(user__in=[m.user_id for m in old]).delete()
            table._base_manager.bulk_create([row for row in old if row.pk not in there])


def applied(*arguments: str) -> str:
    told = StringIO()
    call_command("apply_tombstones", *arguments, stdout=told)
    return told.getvalue()


@pytest.mark.parametrize("whole", [True, False])
def test_a_restored_backup_is_erased_again(acme: Tenant, whole: bool) -> None:
    alice, bob = a_member(acme, "alice"), a_member(acme, "bob")
    rows = backup(alice)
    erase(alice)
    assert alice.left() == {}
    restore(rows, whole=whole)
    assert {"keys", "texts", "conversations", "members"} <= set(alice.left())
    assert "apply_tombstones" in tombstones.startup_problem()
    keyring.close()
    if not whole:  # even before: the stone itself keeps the key shut
        with pytest.raises(Unreadable):
            keyring.of_subject_now(*alice.who)
    assert "1 erased persons" in applied()
    assert alice.left() == {}
    assert tombstones.startup_problem() == ""
    assert untouched(bob)
    assert applied() == ""


def test_texts_alone_come_back_without_a_key_and_are_found_thoroughly(acme: Tenant) -> None:
    alice = a_member(acme, "alice")
    rows = [(table, old) for table, old in backup(alice) if table is Payload]
    erase(alice)
    restore(rows, whole=False)
    assert set(alice.left()) == {"texts"}
    applied("--all")
    assert alice.left() == {}


def test_a_line_is_on_disk_and_signed(acme: Tenant) -> None:
    request = erase(a_member(acme, "alice"))
    (line,) = tombstones.lines()
    assert line.request_id == request.pk
    assert tombstones.path().stat().st_mode & 0o077 == 0
    stone = Tombstone.objects.get()
    assert bytes(stone.signature) == line.signature


def test_a_forged_line_erases_nobody(acme: Tenant) -> None:
    alice, bob = a_member(acme, "alice"), a_member(acme, "bob")
    erase(alice)
    text = tombstones.path().read_text()
    forged = text.replace(str(alice.id), str(bob.id))
    tombstones.path().write_text(text + forged)
    with pytest.raises(CommandError, match="not ours"):
        applied()
    assert "backup" in tombstones.startup_problem()
    assert untouched(bob)


@pytest.mark.parametrize("write_back", [False, True])
def test_a_forged_row_erases_nobody(acme: Tenant, write_back: bool) -> None:
    """As by somebody who can write into the database, and cannot sign."""
    alice, bob = a_member(acme, "alice"), a_member(acme, "bob")
    erase(alice)
    stone = Tombstone.objects.get()
    forged = {"subject_id": bob.id, "request_id": uuid4(), "removes": True, "at": stone.at}
    with unguarded():
        Tombstone.objects.create(tenant_id=acme.id, signature=stone.signature, **forged)
    if write_back:
        with pytest.raises(CommandError, match="not ours"):
            applied("--write-back")
        assert len(tombstones.lines()) == 1
    assert tombstones.apply_again() == 0
    assert untouched(bob)


def test_a_line_that_a_crash_cut_off_is_no_line(acme: Tenant) -> None:
    alice, bob = a_member(acme, "alice"), a_member(acme, "bob")
    erase(alice)
    with tombstones.path().open("a") as file:
        file.write('{"tenant_id": "1234')
    assert applied() == ""
    erase(bob)
    assert len(tombstones.lines()) == 2


def test_a_line_that_a_full_disk_cut_off_is_told_from_a_damaged_one(acme: Tenant) -> None:
    erase(a_member(acme, "alice"))
    whole = tombstones.path().read_text()
    for damaged in (whole.rstrip()[:-1] + "\n", whole.replace("{", "", 1), "\udcff\n" + whole):
        tombstones.path().write_bytes(damaged.encode(errors="surrogateescape"))
        assert str(tombstones.path()) in tombstones.startup_problem()
        assert "restore the file from its backup" in tombstones.startup_problem()
    tombstones.path().write_text(whole.rstrip("\n"))
    assert tombstones.startup_problem() == ""
    erase(a_member(acme, "bob"))
    assert len(tombstones.lines()) == 2


def test_a_file_that_lacks_lines_is_a_hindrance(acme: Tenant) -> None:
    erase(a_member(acme, "alice"))
    erase(a_member(acme, "bob"))
    written = tombstones.path().read_text()
    for left in (written.splitlines(keepends=True)[1], written[:-20], ""):
        tombstones.path().write_text(left)
        assert "lacks" in tombstones.startup_problem()
    tombstones.path().unlink()
    assert f"{tombstones.path()} lacks 2 of the lines" in tombstones.startup_problem()
    with pytest.raises(CommandError, match="lacks 2"):
        applied()
    assert "2 lines were written back" in applied("--write-back")
    assert sorted(tombstones.path().read_text().splitlines()) == sorted(written.splitlines())
    assert tombstones.startup_problem() == ""


@pytest.fixture
def follows_no_engines(monkeypatch: pytest.MonkeyPatch) -> None:
    """That thread has a connection of its own, which sees nothing of a test's database."""
    monkeypatch.setattr(process_start, "follow_engines", lambda: "")


@pytest.mark.usefixtures("follows_no_engines")
def test_no_worker_starts_where_the_web_process_does_not(acme: Tenant) -> None:
    alice = a_member(acme, "alice")
    rows = backup(alice)
    erase(alice)
    celery._may_start()
    restore(rows, whole=True)
    with pytest.raises(SystemExit, match="brought 1 erased persons back"):
        celery._may_start()
    applied()
    celery._may_start()
    tombstones.path().unlink()
    with pytest.raises(SystemExit, match="lacks 1 of the lines"):
        celery._may_start()


@pytest.mark.usefixtures("follows_no_engines")
def test_on_a_host_without_jobs_processes_start_after_an_erasure(
    acme: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file is on the hosts with jobs: a web process elsewhere never had it."""
    erase(a_member(acme, "alice"))
    written = tombstones.path().read_text()
    tombstones.path().unlink()
    assert process_start.startup_problem() == ""
    monkeypatch.setattr(celery, "takes_jobs", lambda: False)
    celery._may_start()
    tombstones.path().write_text(written.replace("{", "", 1))
    with pytest.raises(SystemExit, match="restore the file from its backup"):
        celery._may_start()


def test_a_start_with_jobs_is_refused_where_the_file_is_gone(acme: Tenant) -> None:
    erase(a_member(acme, "alice"))
    tombstones.path().unlink()
    line = ("prepare_start", "--no-first-run")
    with pytest.raises(CommandError, match="lacks 1 of the lines"):
        call_command(*line, stdout=StringIO(), stderr=StringIO())
    call_command(*line, "--no-jobs", stdout=StringIO(), stderr=StringIO())


@pytest.mark.usefixtures("follows_no_engines")
def test_a_worker_that_was_killed_while_it_erased_starts_again(acme: Tenant) -> None:
    alice = a_member(acme, "alice")
    request = deletion.ask(*alice.who, by="member:1", decides=True)
    running = {"state": DeletionState.RUNNING, "started_at": timezone.now()}
    DeletionRequest.objects.filter(pk=request.pk).update(**running)
    with pytest.raises(RuntimeError), transaction.atomic():
        tombstones.place(*alice.who)
        raise RuntimeError("killed before its commit")
    assert "apply_tombstones" in tombstones.startup_problem()
    celery._may_start()


def full(*_: Any) -> None:
    raise OSError(28, "No space left on device")


@pytest.mark.parametrize("file", ["tombstones", "recipients"])
def test_on_a_full_disk_nothing_counts_as_done(
    acme: Tenant, file: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    alice = a_member(acme, "alice")
    asked(alice, upstream=HOSTED)
    request = deletion.ask(*alice.who, by="member:1", decides=True)
    append = line_file.append
    with monkeypatch.context() as patch:
        patch.setattr(line_file, "append", lambda p, t: (full if file in p.name else append)(p, t))
        execution.work()
    request.refresh_from_db()
    step = request.steps.get(store={"tombstones": KEYS, "recipients": "recipients"}[file])
    assert (request.state, step.finished_at) == (DeletionState.RUNNING, None)
    assert "No space left" in step.problem
    assert ("keys" in alice.left()) == (file == "tombstones")
    ErasureStep.objects.filter(pk=step.pk).update(evidence={})
    execution.work()
    request.refresh_from_db()
    assert request.state == DeletionState.DONE


@pytest.mark.parametrize("half", [b'{"a": 1, "b', b'{"a": 1}'])
def test_a_line_is_written_after_what_a_full_disk_left(tmp_path: Path, half: bytes) -> None:
    path = tmp_path / "lines.jsonl"
    path.write_bytes(b'{"a": 0}\n' + half)
    line_file.append(path, '{"a": 2}')
    first, cut, last = path.read_text().splitlines()
    assert (first, last) == ('{"a": 0}', '{"a": 2}')
    assert cut.endswith(line_file.CUT_OFF) == (not half.endswith(b"}"))


def test_a_hold_keeps_what_a_backup_brought_back_but_nobody_reads_it(acme: Tenant) -> None:
    alice = a_member(acme, "alice")
    rows = backup(alice)
    erase(alice)
    restore(rows, whole=True)
    later = timezone.now() + timedelta(days=1)
    hold = legal_hold.request(acme.id, by="member:2", reason="a court", expires_at=later)
    assert "apply_tombstones" in tombstones.startup_problem(), "nothing keeps the key shut yet"
    assert "waits" in applied()
    assert alice.left()["keys"] == 1
    assert tombstones.startup_problem() == ""
    keyring.close()
    with pytest.raises(Barred):
        keyring.of_subject_now(*alice.who)
    assert tombstones.apply_again() == 0
    legal_hold.release(hold, by="member:3", reason="over")
    legal_hold.release(hold, by="member:4", reason="over")
    assert tombstones.apply_again() == 1
    assert alice.left() == {}
    assert tombstones.apply_again() == 0


def test_after_a_hold_who_came_back_without_a_key_is_erased_as_well(acme: Tenant) -> None:
    """A person who never wrote a text has no key, and was forgotten."""
    member: Member = acme.add_member(User.objects.create_user("dora@acme.example"), Role.ADMIN)
    dora = Subject(acme, member.subject_id, "dora", member)
    rows = backup(dora)
    erase(dora)
    assert tombstones.startup_problem() == ""
    restore(rows, whole=True)
    later = timezone.now() + timedelta(days=1)
    hold = legal_hold.request(acme.id, by="member:2", reason="a court", expires_at=later)
    assert "waits" in applied()
    assert tombstones.startup_problem() == ""
    legal_hold.release(hold, by="member:3", reason="over")
    legal_hold.release(hold, by="member:4", reason="over")
    assert tombstones.apply_again() == 1
    assert dora.left() == {}
    assert tombstones.apply_again() == 0


def test_whoever_is_gone_from_an_empty_database_stays_gone(acme: Tenant) -> None:
    erase(a_member(acme, "alice"))
    with unguarded(), connection.cursor() as cursor:
        cursor.execute("delete from audit_tombstone")
    assert "1 erased" in applied()
    assert Tombstone.objects.count() == 1
