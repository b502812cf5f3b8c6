"""A cluster goes on after its disk is lost: with all of it, or as it was at a moment."""

import os
import shutil
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path

import psycopg
import pytest

from config.backup import bases, recovery, retention
from config.backup.bases import StoredBase
from config.backup.kinds.embedded import Embedded
from config.backup.process import BackupProcess
from config.backup.storage.backup_key import BackupKey
from config.backup.storage.repository import Repository, open_store
from config.backup_settings import Wishes
from config.supervisor.terminal import RunProblem
from console.backups.record import Progress
from tests.config.backup.conftest import Server
from tests.e2e.ask import eventually

pytestmark = pytest.mark.timeout(180)
ALL = "select count(*), max(n) from number"


@contextmanager
def running(
    server: Server, repository: Repository, home: Path, *, keeps_slot: bool = False
) -> Iterator[BackupProcess]:
    wishes = Wishes(look_every_s=0.1)
    process = BackupProcess(home, server.cluster(), repository, wishes)
    thread = threading.Thread(target=process.run)
    thread.start()
    try:
        yield process
    finally:
        process.stop()
        thread.join()
        with suppress(psycopg.OperationalError, RunProblem):  # the test has killed it
            if not keeps_slot:
                server.cluster().drop_slot()


@pytest.fixture
def own_repository(server: Server, key: BackupKey, place: Path) -> Repository:
    return Repository(open_store(str(place)), server.cluster().system, key)


def is_stored(server: Server, home: Path) -> bool:
    """Everything that is committed now."""
    (row,) = server.rows("select extract(epoch from clock_timestamp())::float8")
    return bool(eventually(lambda: Progress.read(home).stored_until > row[0], 30))


def count(server: Server, first: int, last: int) -> None:
    server.rows("insert into number select generate_series(%s::int, %s::int)", first, last)


def restored(
    server: Server, repository: Repository, to: Path, at: datetime | None = None
) -> object:
    to.parent.chmod(0o755)
    kind = Embedded(repository, server.programs, server.user)
    with (
        recovery.recovered(kind, recovery.choose(kind, at), to, at) as (url, _),
        psycopg.connect(url) as connection,
    ):
        return connection.execute(ALL).fetchone()


def test_a_lost_disk_costs_what_was_not_stored_yet_and_no_more(
    server: Server,
    own_repository: Repository,
    tmp_path: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    with running(server, own_repository, tmp_path):
        eventually(lambda: Progress.read(tmp_path).base, 30)
        count(server, 1, 1000)
        is_stored(server, tmp_path)
        ((moment,),) = server.rows("select clock_timestamp()")
        count(server, 1001, 30_000)  # more than a segment
        is_stored(server, tmp_path)
        server.end(signal.SIGQUIT)
        shutil.rmtree(server.data)
    folder = tmp_path_factory.mktemp("restored")
    assert restored(server, own_repository, folder / "all") == (30_000, 30_000)
    assert restored(server, own_repository, folder / "then", moment) == (1000, 1000)


def test_a_base_that_somebody_orders_counts_as_the_newest(
    shared: Server, repository: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for wait in ("_LOOK_S", "_AGAIN_S"):
        monkeypatch.setattr(f"config.backup.process.{wait}", 0.0)
    with running(shared, repository, tmp_path):
        first = eventually(lambda: Progress.read(tmp_path).base, 30)
        ordered = bases.take(repository, shared.cluster())
        assert eventually(lambda: Progress.read(tmp_path).base == ordered.label, 30), first
        assert Progress.read(tmp_path).base_bytes == ordered.stored_bytes


@pytest.mark.soak
@pytest.mark.slow(seconds=30)
def test_a_receiver_and_its_process_that_were_killed_go_on_without_a_gap(
    shared: Server, repository: Repository, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    shared.rows("truncate number")
    for step in range(3):
        with running(shared, repository, tmp_path, keeps_slot=True):
            eventually(lambda: Progress.read(tmp_path).base, 30)
            is_stored(shared, tmp_path)
        count(shared, step * 30_000 + 1, (step + 1) * 30_000)  # nobody receives it
    with running(shared, repository, tmp_path):
        is_stored(shared, tmp_path)
    folder = tmp_path_factory.mktemp("restored")
    assert restored(shared, repository, folder / "all") == (90_000, 90_000)


def test_a_busy_database_is_stored_within_seconds(
    shared: Server, repository: Repository, tmp_path: Path
) -> None:
    """The receiver is never at the end of a log that grows all the time."""
    over = threading.Event()

    def write() -> None:
        with psycopg.connect(shared.url, autocommit=True) as connection:
            while not over.wait(0.01):
                connection.execute("select pg_logical_emit_message(true, 'x', repeat('x', 500))")

    writing = threading.Thread(target=write)
    with running(shared, repository, tmp_path):
        eventually(lambda: Progress.read(tmp_path).base, 30)
        writing.start()
        try:
            began = time.time()
            eventually(lambda: Progress.read(tmp_path).stored_until > began + 2, 30)
        finally:
            over.set()
            writing.join()


def test_without_the_key_nothing_opens(
    shared: Server, base: StoredBase, place: Path, tmp_path: Path
) -> None:
    other = Repository(open_store(str(place)), shared.cluster().system, BackupKey.create())
    with pytest.raises(RunProblem, match="does not open with this key"):
        restored(shared, other, tmp_path / "all")
    assert not (tmp_path / "all").exists()


def test_a_damaged_base_is_refused_whole(
    shared: Server, base: StoredBase, repository: Repository, place: Path, tmp_path: Path
) -> None:
    (file,) = place.glob(f"*/base/{base.label}/base.tar.zst.age")
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    with pytest.raises(RunProblem, match="cannot be put back"):
        restored(shared, repository, tmp_path / "all")
    assert not (tmp_path / "all").exists()


def test_a_moment_before_the_first_or_after_the_last_is_refused(
    shared: Server, base: StoredBase, repository: Repository, tmp_path: Path
) -> None:
    (((before),),) = shared.rows("select clock_timestamp() - interval '1 hour'")
    (((after),),) = shared.rows("select clock_timestamp() + interval '1 hour'")
    with pytest.raises(RunProblem, match="there is no base backup from before"):
        restored(shared, repository, tmp_path / "all", before)
    with pytest.raises(RunProblem, match="the stored log ends before that moment"):
        restored(shared, repository, tmp_path / "all", after)


def test_a_base_that_was_cut_off_does_not_count(
    base: StoredBase, repository: Repository, place: Path
) -> None:
    (manifest,) = place.glob(f"*/base/{base.label}/manifest.json.zst.age")
    manifest.unlink()
    assert bases.all_bases(repository) == []


def test_old_bases_go_with_the_log_that_only_they_need_and_with_half_written_ones(
    shared: Server, base: StoredBase, repository: Repository, place: Path
) -> None:
    repository.put(f"wal/{base.first_segment.name}", b"x")
    repository.put("base/20200101T000000Z/base.tar", b"its process was killed")
    draft = next(place.glob("*/base")) / "20200102T000000Z" / "base.tar.zst.age#1"
    draft.parent.mkdir()
    draft.write_bytes(b"x")
    os.utime(draft, (0, 0))
    shared.rows("select pg_switch_wal()")
    last = bases.take(repository, shared.cluster())
    assert last.label != base.label
    repository.put(f"wal/{last.first_segment.name}", b"x")
    assert retention.apply(repository, last.began_at.timestamp()) == 1
    assert [each.label for each in bases.all_bases(repository)] == [last.label]
    assert repository.names("wal") == [last.first_segment.name]
    assert {name.partition("/")[0] for name in repository.names("base")} == {last.label}
    assert not draft.exists()
    assert retention.apply(repository, last.began_at.timestamp() + 3600) == 0, "the last one stays"


def test_a_second_base_at_the_same_time_is_refused(shared: Server, repository: Repository) -> None:
    with (
        shared.cluster().only_one_base(),
        pytest.raises(RunProblem, match="a base backup is being made already"),
    ):
        bases.take(repository, shared.cluster())
    assert repository.names("base") == []
