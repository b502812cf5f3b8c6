"""The master key and tenants' keys are exchanged while everything goes on."""

import base64
import os
import secrets
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from django.conf import settings as django_settings
from django.core.management import CommandError, call_command
from django.db import connection

from audit.actions import Action
from audit.keys import key_check, rotation
from audit.keys.cipher import Unreadable
from audit.keys.keyring import Keyring, newest
from audit.keys.master_keys import MasterKeys, from_environment, platform_secret
from audit.keys.master_keys.errors import MasterKeyMissing
from audit.keys.master_keys.local import EnvKeys
from audit.models import DataKey, Event, KeyRotation
from config.environment import PROJECT
from tenants.models import Tenant
from tests.audit.transit_server import transit

pytestmark = pytest.mark.django_db(transaction=True)
AAD, BY = b"audit_payload|here", "operator:test"
ONE, TWO = (bytes([n]) * 32 for n in (1, 2))
Texts = dict[tuple[UUID, UUID | None], tuple[UUID, bytes]]


def people(tenant: UUID, count: int) -> Texts:
    """Whose texts there are, each encrypted under its subject's key."""
    ring, found = Keyring(), Texts()
    for who in (None, *(uuid4() for _ in range(count))):
        cipher = ring.of_subject_now(tenant, who)
        found[tenant, who] = cipher.key_id, cipher.encrypt(b"a prompt of %a" % who, AAD)
    return found


def all_open(texts: Texts) -> None:
    ring = Keyring()
    for (_, who), (key_id, ciphertext) in texts.items():
        assert ring.by_id_now(key_id).decrypt(ciphertext, AAD) == b"a prompt of %a" % who


def phases() -> list[tuple[str, dict[str, Any]]]:
    events = Event.objects.filter(action=Action.KEY_ROTATE).order_by("id")
    return [(event.detail["phase"], event.detail) for event in events]


def masters() -> set[UUID]:
    return set(DataKey.objects.filter(subject_id=None).values_list("wrapped_by", flat=True))


# A tenant's key ----------------------------------------------------------------------------------
def test_a_tenants_new_key() -> None:
    acme, globex = uuid4(), uuid4()
    texts, others = people(acme, 120), people(globex, 3)
    theirs = set(DataKey.objects.filter(tenant_id=globex).values_list("wrapped", flat=True))
    old = newest(acme, None)
    assert old
    found = rotation.start_tenant(acme, by=BY)
    assert (found.total, found.done, found.old_key_id) == (120, 0, old.id)
    assert rotation.advance(found)
    found.refresh_from_db()
    assert found.done == found.total == 120
    assert found.finished_at
    subjects = DataKey.objects.filter(tenant_id=acme, subject_id__isnull=False)
    assert set(subjects.values_list("wrapped_by", flat=True)) == {found.new_key_id}
    all_open(texts)
    all_open(others)
    assert theirs == set(DataKey.objects.filter(tenant_id=globex).values_list("wrapped", flat=True))
    started, ended = phases()
    assert [started[0], ended[0]] == ["start", "end"]
    assert (started[1]["total"], ended[1]["done"], ended[1]["unreadable"]) == (120, 120, 0)
    assert Event.objects.filter(action=Action.KEY_ROTATE, tenant_id=acme, actor=BY).count() == 2


def test_what_is_new_goes_under_the_newest_key_in_every_process() -> None:
    acme, before = uuid4(), Keyring()
    old = before.of_subject_now(acme, None)
    text = old.encrypt(b"an answer kept for the tenant", AAD)
    rotation.advance(rotation.start_tenant(acme, by=BY))
    who = uuid4()
    before.of_subject_now(acme, who)  # this process had the old one in its memory
    row = newest(acme, who)
    current = newest(acme, None)
    assert row
    assert current
    assert (current.version, row.wrapped_by) == (2, current.id)
    time.sleep(1.0)
    assert before.of_subject_now(acme, None).key_id == current.id
    assert before.by_id_now(old.key_id).decrypt(text, AAD) == b"an answer kept for the tenant"


def test_ten_exchanges_in_a_row() -> None:
    acme = uuid4()
    texts = people(acme, 5)
    for _ in range(10):
        assert rotation.advance(rotation.start_tenant(acme, by=BY))
    all_open(texts)
    assert DataKey.objects.filter(tenant_id=acme, subject_id=None).count() == 11


def test_one_under_way_is_continued_not_doubled() -> None:
    acme = uuid4()
    people(acme, 3)
    first, again = rotation.start_tenant(acme, by=BY), rotation.start_tenant(acme, by="other")
    assert first.pk == again.pk
    assert len(phases()) == 1


def test_a_damaged_key_is_counted_and_stops_nothing() -> None:
    acme = uuid4()
    texts = people(acme, 60)
    owner, (key_id, _) = list(texts.items())[7]
    DataKey.objects.filter(pk=key_id).update(wrapped=bytes(60))
    found = rotation.start_tenant(acme, by=BY)
    assert rotation.advance(found)
    del texts[owner]
    all_open(texts)
    ended = Event.objects.get(action=Action.KEY_ROTATE, detail__phase="end")
    assert ended.detail["unreadable"] == 1
    assert not ended.success
    assert bytes(DataKey.objects.get(pk=key_id).wrapped) == bytes(60)


def test_a_lost_tenants_key_is_a_clear_error() -> None:
    acme = uuid4()
    texts = people(acme, 2)
    DataKey.objects.filter(tenant_id=acme, subject_id=None).delete()
    for (_, who), (key_id, _) in texts.items():
        with pytest.raises(Unreadable, match="destroyed"):
            Keyring().by_id_now(key_id)
        if who:
            with pytest.raises(Unreadable, match="destroyed"):
                Keyring().of_subject_now(acme, who)
    found = rotation.start_tenant(acme, by=BY)
    assert rotation.advance(found)  # it is through, with two that cannot be helped
    assert phases()[-1][1]["unreadable"] == 2
    assert Keyring().of_subject_now(acme, uuid4()).encrypt(b"", AAD), "new people have keys"


# The master key ----------------------------------------------------------------------------------
def test_the_old_master_key_can_be_taken_out(settings: Any) -> None:
    settings.MASTER_KEYS = MasterKeys(EnvKeys([ONE]))
    assert key_check.startup_problem() == ""
    texts: Texts = {}
    for _ in range(60):
        texts |= people(uuid4(), 1)
    settings.MASTER_KEYS = MasterKeys(EnvKeys([TWO]), EnvKeys([ONE]))
    found = rotation.start_master(by=BY)
    assert found.total == 61, "the platform's own key is one of them"
    all_open(texts)
    assert rotation.advance(found)
    settings.MASTER_KEYS = MasterKeys(EnvKeys([TWO]))
    assert key_check.startup_problem() == ""
    all_open(texts)
    settings.MASTER_KEYS = MasterKeys(EnvKeys([ONE]))
    with pytest.raises(MasterKeyMissing):
        all_open(texts)
    assert [phase for phase, _ in phases()] == ["start", "end"]


def test_from_the_environment_to_a_kms_and_its_next_version(settings: Any, tmp_path: Path) -> None:
    settings.MASTER_KEYS = MasterKeys(EnvKeys([ONE]))
    texts = people(uuid4(), 2) | people(uuid4(), 2)
    with transit() as kms:
        told = {
            "FOREBAY_MASTER_KEY_FROM": "kms",
            "FOREBAY_KMS_URL": kms.url,
            "FOREBAY_KMS_TOKEN": "s.just-for-tests",
            "FOREBAY_KMS_KEY": "forebay",
        }
        old = {"FOREBAY_MASTER_KEYS_OLD": base64.b64encode(ONE).decode()}
        settings.MASTER_KEYS = from_environment({**told, **old}, tmp_path)
        assert rotation.advance(rotation.start_master(by=BY))
        settings.MASTER_KEYS = from_environment(told, tmp_path)
        all_open(texts)
        assert rotation.advance(rotation.start_master(by=BY, renew=True))
        kms.oldest = 2
        all_open(texts)


def test_one_to_a_key_that_is_no_longer_current_is_left(settings: Any) -> None:
    settings.MASTER_KEYS = MasterKeys(EnvKeys([ONE]))
    people(uuid4(), 1)
    settings.MASTER_KEYS = MasterKeys(EnvKeys([TWO]), EnvKeys([ONE]))
    left = rotation.start_master(by=BY)
    settings.MASTER_KEYS = MasterKeys(EnvKeys([ONE]), EnvKeys([TWO]))
    rotation.advance_all()  # does not work towards it
    found = rotation.start_master(by=BY)
    assert found.pk != left.pk
    assert rotation.advance(found)
    assert [phase for phase, _ in phases()] == ["start", "left", "start", "end"]
    assert KeyRotation.objects.filter(finished_at=None).count() == 0


# While everything goes on ------------------------------------------------------------------------
def test_texts_are_sealed_and_opened_throughout(settings: Any) -> None:
    """Four processes at work (a ring each), two masters and six tenants' keys exchanged."""
    settings.MASTER_KEYS = MasterKeys(EnvKeys([ONE]))
    acme = uuid4()
    texts = people(acme, 150)
    stop, problems, counted = threading.Event(), list[BaseException](), [0] * 4

    def work(number: int) -> None:
        ring, known = Keyring(), list(texts.items())
        try:
            while not stop.is_set():
                (_, who), (key_id, ciphertext) = secrets.choice(known)
                ring._cache.clear()  # else the database is hardly ever asked
                assert ring.by_id_now(key_id).decrypt(ciphertext, AAD) == b"a prompt of %a" % who
                fresh = uuid4() if counted[number] % 5 == 0 else who
                cipher = ring.of_subject_now(acme, fresh)
                again = ring.by_id_now(cipher.key_id)
                assert again.decrypt(cipher.encrypt(b"new", AAD), AAD) == b"new"
                counted[number] += 1
        except BaseException as problem:
            problems.append(problem)
        finally:
            ring.close()
            connection.close()

    workers = [threading.Thread(target=work, args=[number]) for number in range(4)]
    for worker in workers:
        worker.start()
    for master in (TWO, ONE):
        settings.MASTER_KEYS = MasterKeys(EnvKeys([master]), EnvKeys([ONE, TWO]))
        assert rotation.advance(rotation.start_master(by=BY))
        for _ in range(3):
            assert rotation.advance(rotation.start_tenant(acme, by=BY))
    stop.set()
    for worker in workers:
        worker.join(30)
    assert problems == []
    assert min(counted) > 5
    all_open(texts)
    newest_key = newest(acme, None)
    assert newest_key
    below = DataKey.objects.filter(tenant_id=acme, subject_id__isnull=False)
    assert set(below.values_list("wrapped_by", flat=True)) == {newest_key.id}


def test_two_at_one_exchange_share_the_work() -> None:
    acme = uuid4()
    texts = people(acme, 200)
    found = rotation.start_tenant(acme, by=BY)

    def help_out() -> None:
        rotation.advance(found)
        connection.close()

    threads = [threading.Thread(target=help_out) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    found.refresh_from_db()
    assert found.done == found.total == 200
    assert [phase for phase, _ in phases()] == ["start", "end"]
    all_open(texts)


SLOWLY = """
import time, django
django.setup()
from django.core.management import call_command
from audit.keys import rotation
rotation.STEP = 3
step = rotation._step
def slow(*words):
    time.sleep(0.05)
    return step(*words)
rotation._step = slow
print("ready", flush=True)
call_command("rotate_keys", *{words!r})
"""


@contextmanager
def elsewhere(*words: str) -> Iterator["subprocess.Popen[str]"]:
    """`manage.py rotate_keys` in a process of its own, on the tests' database, and slow."""
    url, name = django_settings.DATABASE_URL, connection.settings_dict["NAME"]
    told = {
        "DATABASE_URL": url.rpartition("/")[0] + f"/{name}",
        "DJANGO_SETTINGS_MODULE": "config.settings",
        "FOREBAY_DATABASE_SCOPE": "system",
    }
    line = [sys.executable, "-c", SLOWLY.format(words=words)]
    process = subprocess.Popen(
        line, env={**os.environ, **told}, cwd=PROJECT, stdout=subprocess.PIPE, text=True
    )
    with process:
        assert process.stdout
        assert process.stdout.readline() == "ready\n"
        yield process
        process.kill()


@pytest.mark.parametrize("which", ["tenant", "master"])
def test_killed_in_the_middle_it_goes_on(which: str, look: psycopg.Connection) -> None:
    tenants = [Tenant.open(f"t{n}", by=BY) for n in range(1 if which == "tenant" else 60)]
    texts: Texts = {}
    for tenant in tenants:
        texts |= people(tenant.id, 60 if which == "tenant" else 1)
    words = ["--tenant", "t0"] if which == "tenant" else ["--master", "--new"]
    goes_on = words[:2] if which == "tenant" else ["--master"]
    progress = "select done from audit_keyrotation where finished_at is null"
    killed: list[int] = []
    for attempt in range(3):
        with elsewhere(*(words if attempt == 0 else goes_on)) as process:
            before, deadline = (killed[-1] if killed else 0), time.monotonic() + 20
            while time.monotonic() < deadline:
                row = look.execute(progress).fetchone()
                if row and row[0] > before:
                    break
                time.sleep(0.01)
            process.send_signal(signal.SIGKILL)
            process.wait(10)
        row = look.execute(progress).fetchone()
        assert row
        killed.append(row[0])
        all_open(texts)
    assert 0 < killed[0] < killed[1] < killed[2] < 60
    call_command("rotate_keys", *goes_on)
    found = KeyRotation.objects.get()
    assert found.done == found.total == 60
    assert found.finished_at
    assert [phase for phase, _ in phases()] == ["start", "end"]
    all_open(texts)


# By whom -----------------------------------------------------------------------------------------
def test_the_command(capsys: pytest.CaptureFixture[str]) -> None:
    acme = Tenant.open("acme", by=BY)
    texts = people(acme.id, 2)
    call_command("rotate_keys", "--tenant", "acme")
    assert capsys.readouterr().out.startswith("2 of 2 keys are now under ")
    call_command("rotate_keys", "--master", "--json")
    assert '"finished": true' in capsys.readouterr().out
    all_open(texts)
    for words in (["--tenant", "nobody"], ["--tenant", "acme", "--new"], []):
        with pytest.raises(CommandError):
            call_command("rotate_keys", *words)


def test_an_older_master_key_that_is_needed_is_named(
    settings: Any, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    settings.FOREBAY_HOME, settings.MASTER_KEYS = tmp_path, MasterKeys(EnvKeys([ONE]))
    people(acme := uuid4(), 1)
    people(uuid4(), 1)
    lost = DataKey.objects.get(tenant_id=acme, subject_id=None)
    DataKey.objects.filter(pk=lost.pk).update(wrapped=bytes(60))
    settings.MASTER_KEYS = MasterKeys(EnvKeys([TWO]), EnvKeys([ONE]))
    for words in (["--master"], ["--master", "--json"]):
        with pytest.raises(CommandError, match=f"keep the older .* 1 tenants' keys .*{lost.pk}"):
            call_command("rotate_keys", *words)
        assert "taken out" not in capsys.readouterr().out
    DataKey.objects.filter(pk=lost.pk).update(wrapped=bytes(lost.wrapped))  # from a backup
    call_command("rotate_keys", "--master")
    assert "can be taken out" in capsys.readouterr().out


def test_the_secret_that_cannot_be_written_needs_the_older_master_key(
    settings: Any, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: Any
) -> None:
    settings.FOREBAY_HOME, settings.MASTER_KEYS = tmp_path, MasterKeys(EnvKeys([ONE]))
    platform_secret.read({}, tmp_path, settings.MASTER_KEYS)
    settings.MASTER_KEYS = MasterKeys(EnvKeys([TWO]), EnvKeys([ONE]))

    def read_only(*_: Any) -> None:
        raise OSError(30, "Read-only file system")

    with monkeypatch.context() as patch:
        patch.setattr(platform_secret, "replace", read_only)
        with pytest.raises(CommandError, match=r"keep the older .*/platform\.secret"):
            call_command("rotate_keys", "--master")
    assert "taken out" not in capsys.readouterr().out
    call_command("rotate_keys", "--master")
    assert "can be taken out" in capsys.readouterr().out


def test_a_version_that_the_kms_disallows_is_not_given_up(settings: Any, tmp_path: Path) -> None:
    with transit() as kms:
        told = {
            "FOREBAY_MASTER_KEY_FROM": "kms",
            "FOREBAY_KMS_URL": kms.url,
            "FOREBAY_KMS_TOKEN": "s.just-for-tests",
            "FOREBAY_KMS_KEY": "forebay",
        }
        settings.FOREBAY_HOME, settings.MASTER_KEYS = tmp_path, from_environment(told, tmp_path)
        texts = people(uuid4(), 1)
        settings.MASTER_KEYS.current.renew()
        kms.oldest = 2
        with pytest.raises(CommandError, match="disallowed by policy"):
            call_command("rotate_keys", "--master")
        assert KeyRotation.objects.get().finished_at is None
        kms.oldest = 1
        call_command("rotate_keys", "--master")
        kms.oldest = 2
        all_open(texts)


def test_a_master_key_of_the_environment_is_renewed_there(settings: Any) -> None:
    settings.MASTER_KEYS = MasterKeys(EnvKeys([ONE]))
    with pytest.raises(CommandError, match="FOREBAY_MASTER_KEYS_OLD"):
        call_command("rotate_keys", "--master", "--new")
    assert KeyRotation.objects.count() == 0


def test_the_jobs_worker_goes_on_with_what_was_left() -> None:
    texts = people(acme := uuid4(), 80)
    rotation.start_tenant(acme, by=BY)
    rotation.advance_all()
    assert KeyRotation.objects.get().finished_at
    all_open(texts)
    rotation.advance_all()
    assert len(phases()) == 2
