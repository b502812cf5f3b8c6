"""The same words for a PostgreSQL of one's own, with Debian's PostgreSQL and pgBackRest."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import psycopg
import pytest

from config.backup import recovery
from config.backup.kinds.pgbackrest import PgBackRest
from config.supervisor.terminal import RunProblem
from tests.e2e.ask import eventually

_DEBIAN = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"))
pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif(
        not (_DEBIAN and shutil.which("pgbackrest") and os.geteuid() == 0),
        reason="needs root, and apt-get install postgresql pgbackrest",
    ),
]
AS_POSTGRES = ["setpriv", "--reuid=postgres", "--regid=postgres", "--init-groups", "--"]


def run(*words: str) -> None:
    subprocess.run([*AS_POSTGRES, *words], check=True, capture_output=True, cwd="/")


class Own:
    """A cluster whose log pgBackRest archives; its configuration is elsewhere, as Debian has it."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.data = folder, folder / "data"
        self.programs = _DEBIAN[-1].parent
        (folder / "pgbackrest.conf").write_text(
            f"[global]\nrepo1-path={folder}/repo\nrepo1-cipher-type=aes-256-cbc\n"
            f"repo1-cipher-pass=some words\nlog-path={folder}\nlock-path={folder}/lock\n"
            f"spool-path={folder}\nstart-fast=y\narchive-timeout=20\n"
            f"[main]\npg1-path={self.data}\npg1-socket-path={folder}\n"
        )
        shutil.chown(folder, "postgres")
        shutil.chown(folder / "pgbackrest.conf", "postgres")
        run(str(self.programs / "initdb"), "-A", "trust", "-E", "UTF8", "-D", str(self.data))
        (folder / "etc").mkdir()
        for file in ("postgresql.conf", "pg_hba.conf", "pg_ident.conf"):
            (self.data / file).rename(folder / "etc" / file)
        shutil.chown(folder / "etc", "postgres")
        self.settings = (
            f"-c config_file={folder}/etc/postgresql.conf -c hba_file={folder}/etc/pg_hba.conf"
            f" -c listen_addresses= -c unix_socket_directories={folder} -c archive_mode=on"
            " -c archive_command='pgbackrest --stanza=main archive-push %p'"
        )
        self.control("start")
        run("pgbackrest", "--stanza=main", "stanza-create")

    def control(self, act: str) -> None:
        log = self.folder / "postgres.log"
        words = ["-D", str(self.data), "-w", "-l", str(log), "-o", self.settings]
        run(str(self.programs / "pg_ctl"), act, *(words if act == "start" else words[:3]))

    def rows(self, statement: str) -> list[tuple[object, ...]]:
        url = f"postgres://postgres@/postgres?host={self.folder}"
        with psycopg.connect(url, autocommit=True) as connection:
            cursor = connection.execute(statement)
            return list(cursor.fetchall()) if cursor.description else []


@pytest.fixture
def own(monkeypatch: pytest.MonkeyPatch) -> Iterator[Own]:
    with tempfile.TemporaryDirectory(prefix="forebay-own-") as name:  # pytest's are root's alone
        folder = Path(name)
        folder.chmod(0o755)
        monkeypatch.setenv("PGBACKREST_CONFIG", str(folder / "pgbackrest.conf"))
        made = Own(folder)
        yield made
        made.control("stop")


@pytest.mark.timeout(400)
@pytest.mark.slow(seconds=15)
def test_a_copy_waits_for_no_standby_and_the_restored_database_archives_its_log_again(
    own: Own,
) -> None:
    own.rows("alter system set synchronous_standby_names = 'nobody'")  # no reload: for the copy
    kind = PgBackRest("main")
    kind.take()
    data = own.folder / "restored"
    with (
        recovery.recovered(kind, recovery.choose(kind), data) as (url, _),
        psycopg.connect(url, autocommit=True) as connection,
    ):
        connection.execute("set statement_timeout = '20s'")
        connection.execute("create table copied as select 1 as n")
    assert "archive_mode" not in (data / "postgresql.auto.conf").read_text()


@pytest.mark.soak
@pytest.mark.slow(seconds=40)
def test_a_base_is_made_listed_and_put_back_to_its_end_and_to_a_moment(own: Own) -> None:
    kind = PgBackRest("main")
    own.rows("create table number as select 1 as n")
    made = kind.take()
    assert [base.label for base in kind.bases()] == [made.label]
    assert made.postgresql == own.programs.parent.name
    ((moment,),) = own.rows("select clock_timestamp()")
    assert isinstance(moment, datetime)
    own.rows("insert into number values (2)")
    own.rows("select pg_switch_wal()")
    archived = "select archived_count > 3 and last_archived_wal is not null from pg_stat_archiver"
    eventually(lambda: own.rows(archived) == [(True,)], 30)
    assert restored(own, kind) == [1, 2]
    assert restored(own, kind, moment) == [1]


def restored(own: Own, kind: PgBackRest, at: datetime | None = None) -> list[int]:
    data = own.folder / "restored"
    with (
        recovery.recovered(kind, recovery.choose(kind), data, at) as (url, _),
        psycopg.connect(url) as connection,
    ):
        rows = connection.execute("select n from number order by n").fetchall()
    shutil.rmtree(data)
    return [n for (n,) in rows]


def test_a_stanza_that_it_does_not_know_is_said(own: Own) -> None:
    with pytest.raises(RunProblem, match="pgBackRest knows no stanza other"):
        PgBackRest("other").bases()
