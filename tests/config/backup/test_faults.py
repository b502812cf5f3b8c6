"""Backups whose place fails, whose log has a gap, or that somebody tampers with."""

import contextlib
import errno
import os
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import psycopg
import pytest

from config.backup import bases, recovery
from config.backup.bases import StoredBase
from config.backup.feeding import Feeder
from config.backup.kinds.embedded import Embedded
from config.backup.restoring import restored_copy, verification
from config.backup.restoring.restoration import Restoration
from config.backup.storage.backup_key import BackupKey
from config.backup.storage.repository import Repository, open_store
from config.backup.storage.sealed import Source
from config.backup.storage.writer import Writing
from config.backup.stored_log import StoredLog
from config.backup.write_ahead_log.log_watch import LogWatch
from config.backup_settings import RECEIVER
from config.environment import PROJECT
from config.supervisor.embedded import lock_files
from config.supervisor.home import Home
from config.supervisor.terminal import RunProblem
from console.backups.record import Progress, Verified
from infrastructure.release import VERSION
from tests.config.backup.conftest import Server, a_server
from tests.config.backup.test_recovery import count, is_stored, restored, running
from tests.e2e.ask import eventually

pytestmark = pytest.mark.timeout(180)
SECRET = "acme-bank-of-the-river"


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "home" / "witness").mkdir(parents=True)
    return tmp_path / "home"


@pytest.fixture
def verify(
    shared: Server, repository: Repository, home: Path, monkeypatch: pytest.MonkeyPatch
) -> Any:
    """`forebay backup verify`, without the platform's own checks of the copy."""
    kind = Embedded(repository, shared.programs, shared.user)
    report = {"findings": [], "events": 3, "keys_tried": 2}
    monkeypatch.setattr("config.backup.configured.kind", lambda _home: kind)
    monkeypatch.setattr("config.backup.restoring.restored_copy.check", lambda _url: report)

    def verified() -> Verified:
        home.parent.chmod(0o755)
        return verification.verify(home)

    return verified


@pytest.fixture
def small_disk(place: Path) -> Iterator[Path]:
    """The place is on a disk of one megabyte."""
    place.mkdir(exist_ok=True)
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "none", str(place)])
    if mounted.returncode:
        pytest.skip("needs root, who may mount a disk")
    yield place
    subprocess.run(["umount", str(place)], check=True)


def test_a_full_place_is_reported_and_what_was_not_stored_follows_once_there_is_room(
    shared: Server, repository: Repository, small_disk: Path, home: Path
) -> None:
    with running(shared, repository, home):
        failure = eventually(lambda: Progress.read(home).failure, 30)
        assert "No space left" in failure
        assert Progress.read(home).stored_until == 0, "nothing restores yet"
        assert bases.all_bases(repository) == []
        subprocess.run(["mount", "-o", "remount,size=400m", str(small_disk)], check=True)
        eventually(lambda: not Progress.read(home).failure, 30)
        bases.take(repository, shared.cluster())


def test_a_place_that_is_gone_is_reported_and_taken_up_again(
    shared: Server, key: BackupKey, base: StoredBase, place: Path, home: Path
) -> None:
    store = open_store(str(place))
    away = place.rename(place.with_name("away"))
    place.write_text("a file where the folder was")
    repository = Repository(store, shared.cluster().system, key)
    with running(shared, repository, home):
        eventually(lambda: Progress.read(home).failure, 30)
        assert Progress.read(home).failing_since > 0
        place.unlink()
        away.rename(place)
        eventually(lambda: Progress.read(home).stored_until, 60)
        assert not Progress.read(home).failure


def test_log_that_postgresql_dropped_is_a_gap_until_there_is_a_new_base(
    tmp_path_factory: pytest.TempPathFactory,
    template: Path,
    key: BackupKey,
    place: Path,
    home: Path,
    tmp_path: Path,
) -> None:
    with a_server(tmp_path_factory, template, max_slot_wal_keep_size="2MB") as server:
        repository = Repository(open_store(str(place)), server.cluster().system, key)
        slot = server.cluster()
        with running(server, repository, home, keeps_slot=True):
            first = eventually(lambda: Progress.read(home).base, 30)
            is_stored(server, home)
        count(server, 1, 60_000)  # five segments that nobody receives
        server.rows("checkpoint")
        server.rows("select pg_switch_wal()")
        server.rows("checkpoint")
        with contextlib.closing(LogWatch(slot)) as watch:
            assert watch.look().slot_state == "lost"
        with slot.only_one_base(), running(server, repository, home, keeps_slot=True):
            eventually(lambda: Progress.read(home).gaps == 1, 30)
            before = Progress.read(home).stored_until
            eventually(lambda: "being made already" in Progress.read(home).failure, 30)
            assert Progress.read(home).stored_until == before, "the log alone restores nothing"
        with running(server, repository, home):
            second = eventually(lambda: Progress.read(home).base, 30)
            assert second != first
            is_stored(server, home)
        assert restored(server, repository, tmp_path / "all") == (60_000, 60_000)


@pytest.mark.soak
@pytest.mark.slow(seconds=40)
def test_segments_and_bases_that_somebody_deleted_are_found_and_a_new_base_makes_up_for_them(
    shared: Server,
    base: StoredBase,
    repository: Repository,
    place: Path,
    home: Path,
    verify: Any,
) -> None:
    (home / "witness" / "tombstones.jsonl").write_text("one\n")
    with running(shared, repository, home):
        first = eventually(lambda: Progress.read(home).base, 30)
        for _ in range(3):
            fill_a_segment(shared)
        is_stored(shared, home)
        older = shutil.copytree(place, place.with_name("older"))
        (home / "witness" / "tombstones.jsonl").write_text("one\ntwo\n")
        fill_a_segment(shared)
        is_stored(shared, home)
        good = verify()
        assert good.findings == []
        assert good.rpo_s < 60
        assert good.good_at == good.at
    shutil.rmtree(place)  # all of it goes back to what it was
    older.rename(place)
    bad = verify()
    assert [line.split()[0] for line in bad.findings] == ["the", "witness/tombstones.jsonl"]
    assert "of the log that were stored are gone" in bad.findings[0]
    assert "has 4 of the 8 bytes" in bad.findings[1]
    assert bad.good_at == good.at
    after_the_base = bases.all_bases(repository)[-1].last_segment.later(1)
    repository.delete(f"wal/{after_the_base.name}")
    assert "1 segments of the write-ahead log are not in the place" in verify().findings
    assert Verified.read(home).is_behind
    with running(shared, repository, home):
        eventually(lambda: Progress.read(home).base not in ("", first), 30)
        is_stored(shared, home)
        assert verify().findings == []


def test_a_backup_that_does_not_restore_is_a_finding(
    base: StoredBase, place: Path, home: Path, verify: Any
) -> None:
    (file,) = place.glob(f"*/base/{base.label}/base.tar.zst.age")
    file.write_bytes(file.read_bytes()[:-1000])
    verified = verify()
    assert verified.findings[0].startswith("it cannot be restored: the backup")
    assert verified.good_at == 0
    assert str(verified) == verified.findings[0]
    assert list((home / "backup").glob("verify.*.copy")) == []


def test_a_second_verification_at_the_same_time_is_refused_and_a_killed_ones_copy_removed(
    base: StoredBase, home: Path, verify: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    remains = home / "backup" / "verify.1.copy"
    remains.mkdir(parents=True)
    refusals = []

    def again(_url: str) -> Mapping[str, Any]:
        with pytest.raises(RunProblem, match="another verification runs") as refusal:
            verification.verify(home)
        refusals.append(refusal)
        return {"findings": [], "events": 1, "keys_tried": 1}

    monkeypatch.setattr("config.backup.restoring.restored_copy.check", again)
    assert verify().findings == []
    assert len(refusals) == 1
    assert not remains.exists()


def test_a_copy_that_would_fill_the_disk_is_not_begun(
    shared: Server, base: StoredBase, repository: Repository, tmp_path: Path
) -> None:
    class Large(Embedded):
        def put_back(self, *_arguments: Any) -> Any:
            raise AssertionError("it was begun")

    kind = Large(repository, shared.programs, shared.user)
    large = bases.StoredBase(**{**as_fields(base), "content_bytes": 10**18})
    with (
        pytest.raises(RunProblem, match=r"GB free, and 1100000001.1 GB are needed"),
        recovery.recovered(kind, large, tmp_path / "copy"),
    ):
        raise AssertionError("it was restored")
    assert not (tmp_path / "copy").exists()


def fill_a_segment(server: Server) -> None:
    server.rows("select pg_logical_emit_message(true, 'x', repeat('x', 1000))")
    server.rows("select pg_switch_wal()")


def as_fields(base: StoredBase) -> dict[str, Any]:
    return {name: getattr(base, name) for name in StoredBase.__dataclass_fields__}


def test_a_restore_over_a_running_database_is_refused(
    shared: Server, base: StoredBase, repository: Repository, home: Path
) -> None:
    kind = Embedded(repository, shared.programs, shared.user)
    restoration = Restoration(Home(home), kind, shared.data, replaces=True)
    with pytest.raises(RunProblem, match=rf"PostgreSQL runs on {shared.data}"):
        restoration.run(None, "")
    assert shared.rows("select 1") == [(1,)]


def test_a_restore_without_the_platforms_keys_opens_nothing_and_makes_none(
    shared: Server,
    base: StoredBase,
    repository: Repository,
    home: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A first start makes keys that are missing; then the right ones would come too late."""
    for name in ("FOREBAY_MASTER_KEY", "FOREBAY_KMS_URL", "FOREBAY_AUDIT_SIGNING_KEY"):
        monkeypatch.delenv(name, raising=False)
    kind = Embedded(repository, shared.programs, shared.user)
    restoration = Restoration(Home(home), kind, home / "postgres", replaces=False)
    missing = "master.key, audit_signing.key, database.password, postgres.password missing in"
    with pytest.raises(RunProblem, match=missing):
        restoration.run(None, "")
    assert [each.name for each in home.iterdir()] == ["witness"]


def test_a_restore_whose_witness_has_lost_lines_is_refused(
    shared: Server,
    base: StoredBase,
    repository: Repository,
    home: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Somebody put the older object back: people who were erased would return."""
    monkeypatch.setenv("FOREBAY_MASTER_KEY", "abc")
    monkeypatch.setenv("FOREBAY_AUDIT_SIGNING_KEY", "abc")
    for step in ("refuse_other_tables", "check_keys", "erase_again"):
        monkeypatch.setattr(f"config.backup.restoring.restored_copy.{step}", lambda _url: None)
    monkeypatch.setattr(
        "config.backup.restoring.restored_copy.models_without_files", lambda _url: ["m@1", "m@2"]
    )
    despite: list[bool] = []

    def resume_sealing(_url: str, _witness: Path, *, despite_findings: bool) -> None:
        despite.append(despite_findings)

    monkeypatch.setattr("config.backup.restoring.restored_copy.resume_sealing", resume_sealing)
    (home / "secrets").mkdir()
    for name in ("database.password", "postgres.password"):
        (home / "secrets" / name).write_text("abc")
    repository.put("witness/tombstones.jsonl.00000000", b"one\n")
    progress = Progress(stored=base.ends + 10**9, base="gone", witness={"tombstones.jsonl": 8})
    Writing(repository, home.parent / "lost").renew(progress, now=1e9)
    kind = Embedded(repository, shared.programs, shared.user)
    home.parent.chmod(0o755)
    data = home / "postgres"
    with pytest.raises(RunProblem, match="people whose erasure is in them would come back"):
        Restoration(Home(home), kind, data, replaces=False).run(None, "")
    assert not data.exists()
    Restoration(Home(home), kind, data, replaces=False, despite_findings=True).run(None, "")
    shown = capsys.readouterr().out
    assert "last wrote there at 2001-09-09T01:46:40+00:00" in shown
    assert "Somebody has changed the place: the base backup gone is gone" in shown
    assert "bytes of the log that were stored are gone" in shown
    assert "No backup has files of models: those of 2 versions are missing (m@1, m@2)" in shown
    assert (data / "PG_VERSION").exists()
    assert despite == [True]


def test_a_restore_whose_witness_somebody_changed_is_refused_and_says_what_to_do(
    shared: Server,
    base: StoredBase,
    repository: Repository,
    place: Path,
    home: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name in ("FOREBAY_MASTER_KEY", "FOREBAY_AUDIT_SIGNING_KEY"):
        monkeypatch.setenv(name, "abc")
    (home / "secrets").mkdir()
    for name in ("database.password", "postgres.password"):
        (home / "secrets" / name).write_text("abc")
    repository.put("witness/tombstones.jsonl.00000000", b"one\n")
    for name in ("witness/tombstones.jsonl.00000000", "writer"):
        (place / shared.cluster().system / f"{name}.zst.age").write_bytes(b"garbage")
    restoration = Restoration(
        Home(home), Embedded(repository, shared.programs, shared.user), home / "p", replaces=False
    )
    with pytest.raises(RunProblem, match=r"witness/.*come back.*add --despite-findings"):
        restoration.run(None, "")
    assert not (home / "p").exists()


def test_a_stolen_place_tells_nothing_not_even_by_its_names(
    shared: Server, repository: Repository, place: Path, home: Path
) -> None:
    """Names, texts and keys are looked for in every byte and every file name."""
    (home / "witness" / "tombstones.jsonl").write_text(f'{{"subject": "{SECRET}"}}\n')
    (home / "backup").mkdir()
    (home / "backup" / "installation").write_text(SECRET)
    shared.rows("create table if not exists tenant (name text)")
    shared.rows("insert into tenant select %s from generate_series(1, 1000)", SECRET)
    with running(shared, repository, home):
        eventually(lambda: Progress.read(home).base, 30)
        shared.rows("insert into tenant select %s from generate_series(1, 1000)", SECRET)
        is_stored(shared, home)
    words = [SECRET, "pg_catalog", "PG_VERSION", "postgres"]
    files = [file for file in place.rglob("*") if file.is_file()]
    assert {file.parent.name for file in files} >= {"wal", "witness"}
    for file in files:
        content = file.read_bytes()
        assert content.startswith(b"age-encryption.org/v1"), file
        assert not [word for word in words if word.encode() in content], file
        assert not [word for word in words if word in str(file.relative_to(place))], file


def test_a_process_whose_place_another_installation_writes_to_stores_nothing(
    shared: Server, base: StoredBase, repository: Repository, home: Path, tmp_path: Path
) -> None:
    with running(shared, repository, home):
        eventually(lambda: Progress.read(home).base, 30)
    names = repository.names("wal")
    (tmp_path / "clone").mkdir()
    with running(shared, repository, tmp_path / "clone"):
        failure = eventually(lambda: Progress.read(tmp_path / "clone").failure, 30)
    assert "writes its backups of this database there too" in failure
    assert repository.names("wal") == names


def test_a_slot_that_nobody_has_read_from_yet_is_no_gap(shared: Server) -> None:
    """On a busy machine it takes a while until the receiver begins."""
    cluster = shared.cluster()
    with contextlib.closing(LogWatch(cluster)) as watch:
        assert watch.look().slot_state == ""
        shared.rows("select pg_create_physical_replication_slot(%s)", RECEIVER)
        try:
            assert watch.look().slot_state not in ("", "lost")
        finally:
            cluster.drop_slot()


def test_a_base_backup_that_takes_long_keeps_the_log_that_it_needs(
    tmp_path_factory: pytest.TempPathFactory, template: Path, key: BackupKey, place: Path
) -> None:
    """PostgreSQL removes log after each checkpoint, and a base backup copies it last."""
    with a_server(tmp_path_factory, template, max_wal_size="2MB", min_wal_size="2MB") as server:

        class Slow(Repository):
            def put_stream(self, name: str, source: Source) -> int:
                return super().put_stream(name, SlowSource(source, server))

        repository = Slow(open_store(str(place)), server.cluster().system, key)
        assert bases.take(repository, server.cluster()).ends > 0
        # Its slot is temporary, and goes a moment after its connection.
        eventually(lambda: not server.rows("select 1 from pg_replication_slots"), 30)


class SlowSource:
    """After its first part the database writes ten segments."""

    def __init__(self, source: Source, server: Server) -> None:
        self._source, self._server, self._is_first = source, server, True

    def read(self, size: int) -> bytes:
        part = self._source.read(size)
        if self._is_first:
            self._is_first = False
            for _ in range(10):
                fill_a_segment(self._server)
            self._server.rows("checkpoint")
        return part


def test_a_receiver_that_ends_is_named_as_the_reason(
    shared: Server, repository: Repository, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "config.backup.write_ahead_log.receiver.Receiver._words", ["--no-such-option"]
    )
    with running(shared, repository, home):
        failure = eventually(lambda: Progress.read(home).failure, 30)
    assert "pg_receivewal ended with 1: FOREBAY_HOME/logs/backup.log says why" in failure


def test_log_that_waits_for_the_place_does_not_fill_the_disk_of_the_database(
    shared: Server,
    base: StoredBase,
    repository: Repository,
    home: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    waiting = home / "backup" / "wal" / "waits"
    waiting.parent.mkdir(parents=True)
    with waiting.open("wb") as file:
        file.truncate(1 << 30)

    def usage(_folder: Path) -> SimpleNamespace:
        return SimpleNamespace(free=1000 if waiting.exists() else 1 << 40)

    monkeypatch.setattr("shutil.disk_usage", usage)
    with running(shared, repository, home):
        eventually(lambda: Progress.read(home).gaps == 1, 30)
        assert eventually(lambda: Progress.read(home).base, 30) != base.label
    assert not waiting.exists()


def test_a_copy_beside_the_running_database_ends_before_the_disk_is_full(
    shared: Server,
    base: StoredBase,
    repository: Repository,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("config.backup.recovery._ROOM_BYTES", 1 << 60)
    tmp_path.chmod(0o755)
    kind = Embedded(repository, shared.programs, shared.user)
    with (
        pytest.raises(RunProblem, match="the copy has grown until"),
        recovery.recovered(kind, base, tmp_path / "copy", is_durable=False),
    ):
        raise AssertionError("it was opened")
    assert not (tmp_path / "copy").exists()


def test_a_backup_of_another_postgresql_is_refused_before_it_is_copied(
    shared: Server, base: StoredBase, repository: Repository, tmp_path: Path
) -> None:
    older = StoredBase(**{**as_fields(base), "postgresql": "17.2", "forebay": "0.9"})
    repository.delete(f"base/{base.label}/base.tar")
    repository.put(f"base/{base.label}/manifest.json", msgspec.json.encode(older))
    kind = Embedded(repository, shared.programs, shared.user)
    with (
        pytest.raises(RunProblem, match=r"made by Forebay 0.9 with PostgreSQL 17.2.*install that"),
        recovery.recovered(kind, older, tmp_path / "copy"),
    ):
        raise AssertionError("it was restored")


def test_a_recovery_whose_command_was_killed_does_not_wait_for_log_for_ever(
    repository: Repository, tmp_path: Path
) -> None:
    feeder = Feeder(StoredLog(repository, frozenset()), 1 << 20, tmp_path, lambda _path: None)
    line = feeder.command(tmp_path)
    script = tmp_path / "fetch.sh"
    script.write_text(script.read_text().replace(f"/proc/{os.getpid()}", f"/proc/{2**22 + 1}"))
    words = shlex.split(line.replace("%f", "000000010000000000000002").replace("%p", "x"))
    assert subprocess.run(words, timeout=30).returncode == 200


def test_a_database_that_was_put_back_by_other_means_gets_a_new_base(
    server: Server, key: BackupKey, place: Path, home: Path
) -> None:
    """A snapshot of the machine: the place has a base and log that the database never had."""
    repository = Repository(open_store(str(place)), server.cluster().system, key)
    with running(server, repository, home, keeps_slot=True):
        first = eventually(lambda: Progress.read(home).base, 30)
        is_stored(server, home)
    ahead = replace(Progress.read(home), stored=1 << 40)
    Writing(repository, home).renew(ahead, now=time.time())
    with running(server, repository, home):
        eventually(lambda: Progress.read(home).base not in ("", first), 30)


def test_what_was_stored_in_another_place_does_not_count(
    shared: Server, repository: Repository, home: Path
) -> None:
    far = time.time() + 10**6
    Progress(place="/old", base="x", base_at=time.time(), stored_until=far).write(home)
    with running(shared, repository, home):
        eventually(lambda: Progress.read(home).base not in ("", "x"), 30)
    assert Progress.read(home).stored_until < far


_COPY = """
import sys, time
from pathlib import Path
from config.backup import configured, recovery
home, place, data = map(Path, sys.argv[1:])
kind = configured.kind(home, str(place))
with recovery.recovered(kind, recovery.choose(kind), data, is_durable=False):
    print("open", flush=True)
    time.sleep(600)
"""


def test_a_copy_that_is_looked_at_ends_with_the_command_that_was_killed(
    shared: Server, base: StoredBase, key: BackupKey, place: Path, tmp_path: Path
) -> None:
    """`kill -9`, or a machine without memory: nobody else knows of it."""
    tmp_path.chmod(0o755)
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets" / "backup.key").write_text(key.text)
    data = tmp_path / "copy"
    line = [sys.executable, "-c", _COPY, str(tmp_path), str(place), str(data)]
    with subprocess.Popen(line, cwd=PROJECT, stdout=subprocess.PIPE, text=True) as command:
        assert command.stdout
        assert command.stdout.readline() == "open\n"
        copy = lock_files.server_on(data)
        assert copy
        command.kill()
    assert eventually(lambda: not lock_files.server_on(data), 30)


def test_a_record_that_cannot_be_written_ends_no_backups(
    shared: Server, repository: Repository, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The disk of FOREBAY_HOME is full; the place of the backups is on another."""
    with monkeypatch.context() as full, running(shared, repository, home):
        eventually(lambda: Progress.read(home).base, 30)

        def replace(_path: Path, _text: str) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

        full.setattr("console.backups.record.private_file.replace", replace)
        shared.rows("insert into number values (-1) on conflict do nothing")
        time.sleep(1)
        full.undo()
        assert is_stored(shared, home)


def test_a_backup_of_an_older_version_is_refused_with_what_to_install(
    shared: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Commands of this version would ask its tables for what they do not have."""
    monkeypatch.delenv("DATABASE_URL", raising=False)
    shared.rows("create database forebay")
    url = shared.url.replace("/postgres?", "/forebay?")
    table = "create table tenants_schemarelease (version text, oldest_beside text)"
    row = "insert into tenants_schemarelease values ('0.1.9', '0.1.0')"
    try:
        with psycopg.connect(url, autocommit=True) as connection:
            for older in ("select 1", f"{table}; {row}"):
                connection.execute(older)
                with pytest.raises(RunProblem, match=r"of Forebay 0\.1\.\d, and this is"):
                    restored_copy.refuse_other_tables(shared.url)
            connection.execute("update tenants_schemarelease set version = %s", [VERSION])
            restored_copy.refuse_other_tables(shared.url)
            connection.execute("update tenants_schemarelease set version = '99.0.0'")
            restored_copy.refuse_other_tables(shared.url)
            connection.execute("update tenants_schemarelease set oldest_beside = '99.0.0'")
            with pytest.raises(RunProblem, match="of Forebay 99.0.0, .* install that version"):
                restored_copy.refuse_other_tables(shared.url)
    finally:
        shared.rows("drop database forebay with (force)")
