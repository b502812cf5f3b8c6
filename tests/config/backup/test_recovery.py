"""A cluster goes on after its disk is lost: with all of it, or as it was at a moment."""

import shutil
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

import psycopg
import pytest

from config.backup import bases, recovery, retention
from config.backup.backup_key import BackupKey
from config.backup.kinds.embedded import Embedded
from config.backup.process import BackupProcess
from config.backup.repository import Repository, open_store
from config.backup_record import Progress
from config.backup_settings import Wishes
from config.supervisor.terminal import Problem
from tests.config.backup.conftest import Server
from tests.e2e.ask import eventually

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]
ALL = "select count(*), max(n) from number"


@pytest.fixture
def keeping(server: Server, repository: Repository, tmp_path: Path) -> Iterator[BackupProcess]:
    with running(BackupProcess(tmp_path, server.cluster(), repository, Wishes())) as process:
        yield process


@contextmanager
def running(process: BackupProcess) -> Iterator[BackupProcess]:
    thread = threading.Thread(target=process.run)
    thread.start()
    try:
        yield process
    finally:
        process.stop()
        thread.join()


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


@pytest.mark.slow(seconds=30)
def test_a_lost_disk_costs_what_was_not_stored_yet_and_no_more(
    server: Server,
    repository: Repository,
    keeping: BackupProcess,
    tmp_path: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    eventually(lambda: Progress.read(tmp_path).base, 30)
    count(server, 1, 1000)
    is_stored(server, tmp_path)
    ((moment,),) = server.rows("select clock_timestamp()")
    count(server, 1001, 200_000)  # more than a segment
    is_stored(server, tmp_path)
    server.end(signal.SIGQUIT)
    shutil.rmtree(server.data)
    folder = tmp_path_factory.mktemp("restored")
    assert restored(server, repository, folder / "all") == (200_000, 200_000)
    assert restored(server, repository, folder / "then", moment) == (1000, 1000)


@pytest.mark.slow(seconds=30)
def test_a_receiver_and_its_process_that_were_killed_go_on_without_a_gap(
    server: Server, repository: Repository, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    for step in range(3):
        with running(BackupProcess(tmp_path, server.cluster(), repository, Wishes())):
            eventually(lambda: Progress.read(tmp_path).base, 30)
            is_stored(server, tmp_path)
        count(server, step * 100_000 + 1, (step + 1) * 100_000)  # nobody receives it
    with running(BackupProcess(tmp_path, server.cluster(), repository, Wishes())):
        is_stored(server, tmp_path)
    folder = tmp_path_factory.mktemp("restored")
    assert restored(server, repository, folder / "all") == (300_000, 300_000)


def test_without_the_key_nothing_opens(
    server: Server, repository: Repository, place: Path, tmp_path: Path
) -> None:
    bases.take(repository, server.cluster())
    other = Repository(open_store(str(place)), server.cluster().system, BackupKey.create())
    with pytest.raises(Exception, match="does not open with this key"):
        restored(server, other, tmp_path / "all")
    assert not (tmp_path / "all").exists()


def test_a_damaged_base_is_refused_whole(
    server: Server, repository: Repository, place: Path, tmp_path: Path
) -> None:
    base = bases.take(repository, server.cluster())
    (file,) = place.glob(f"*/base/{base.label}/base.tar.zst.age")
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    with pytest.raises(Problem, match="cannot be put back"):
        restored(server, repository, tmp_path / "all")
    assert not (tmp_path / "all").exists()


def test_a_moment_before_the_first_or_after_the_last_is_refused(
    server: Server, repository: Repository, tmp_path: Path
) -> None:
    (((before),),) = server.rows("select clock_timestamp() - interval '1 hour'")
    (((after),),) = server.rows("select clock_timestamp() + interval '1 hour'")
    bases.take(repository, server.cluster())
    with pytest.raises(Problem, match="there is no base backup from before"):
        restored(server, repository, tmp_path / "all", before)
    with pytest.raises(Problem, match="the stored log ends before that moment"):
        restored(server, repository, tmp_path / "all", after)


def test_a_base_that_was_cut_off_does_not_count(
    server: Server, repository: Repository, place: Path
) -> None:
    base = bases.take(repository, server.cluster())
    (manifest,) = place.glob(f"*/base/{base.label}/manifest.json.zst.age")
    manifest.unlink()
    assert bases.all_bases(repository) == []


def test_old_bases_go_with_the_log_that_only_they_need(
    server: Server, repository: Repository, place: Path
) -> None:
    first = bases.take(repository, server.cluster())
    repository.put(f"wal/{first.first_segment.name}", b"x")
    server.rows("select pg_switch_wal()")
    eventually(lambda: bases.take(repository, server.cluster()).label != first.label)
    last = bases.all_bases(repository)[-1]
    repository.put(f"wal/{last.first_segment.name}", b"x")
    assert retention.apply(repository, last.began_at.timestamp()) >= 1
    assert [base.label for base in bases.all_bases(repository)] == [last.label]
    assert repository.names("wal") == [last.first_segment.name]
    assert retention.apply(repository, last.began_at.timestamp() + 3600) == 0, "the last one stays"


def test_a_place_that_cannot_be_written_is_said_and_tried_again(
    server: Server, key: BackupKey, place: Path, tmp_path: Path
) -> None:
    place.mkdir()
    store = open_store(str(place))
    shutil.rmtree(place)
    place.write_text("a file where the folder was")
    repository = Repository(store, server.cluster().system, key)
    with running(BackupProcess(tmp_path, server.cluster(), repository, Wishes())):
        eventually(lambda: Progress.read(tmp_path).failure, 30)
        place.unlink()
        eventually(lambda: Progress.read(tmp_path).stored_until, 90)
        assert not Progress.read(tmp_path).failure
