"""`forebay backup` and `forebay restore` as they are typed, on a home whose PostgreSQL runs."""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from pathlib import Path

import psycopg
import pyrage
import pytest

from config.backup import configured
from config.backup.cluster import Cluster
from config.backup.kit import check, read, unpack, write
from config.command import postgres
from config.command.backup import backup
from config.command.restore import restore
from config.environment import PROJECT
from config.supervisor.home import Home
from config.supervisor.terminal import RunProblem
from console.backups.record import Progress, Verified
from tests import prepared
from tests.supervisor.running import HOSTED, Running, bare_environment

WORDS = "four words of nothing"
MASTER_KEY = "abc\n"


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    made = Home(tmp_path / "home")
    (made.root / "secrets").mkdir(parents=True)
    (made.root / "secrets" / "master.key").write_text(MASTER_KEY)
    monkeypatch.setattr("config.environment.HOME", made.root)
    monkeypatch.setenv("FOREBAY_BACKUP_TO", str(tmp_path / "place"))
    (tmp_path / "words").write_text(f"{WORDS}\n")
    monkeypatch.setenv("FOREBAY_BACKUP_PASSPHRASE_FILE", str(tmp_path / "words"))
    for name in ("DATABASE_URL", "REDIS_URL"):
        monkeypatch.delenv(name, raising=False)
    return made


@pytest.fixture
def servers(home: Home, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with monkeypatch.context() as others:
        others.delenv("FOREBAY_BACKUP_TO")
        shutil.rmtree(home.root)
        prepared.home(home.root)
    running = Running(home.root, "--servers", FOREBAY_ENGINES=HOSTED)
    running.line("Ctrl-C stops the servers")
    configured.make_key(home.root)
    yield
    running.end(signal.SIGINT)


@pytest.mark.e2e
@pytest.mark.slow(seconds=20)
def test_what_is_typed_each_day(
    servers: None, home: Home, capsys: pytest.CaptureFixture[str]
) -> None:
    assert backup(["now", "--json"]) == 0
    made = json.loads(capsys.readouterr().out)
    assert backup(["list", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == [made]
    assert backup(["status"]) == 1, "no process keeps it up"
    assert "does not run" in capsys.readouterr().out
    assert restore([]) == 2
    assert "Forebay already runs on" in capsys.readouterr().err


@pytest.mark.e2e
@pytest.mark.soak
@pytest.mark.slow(seconds=40)
def test_a_verification_checks_the_copy_and_is_on_record(servers: None, home: Home) -> None:
    assert backup(["now"]) == 0
    ended = typed(home, "backup", "verify", "--json")
    assert ended.returncode == 0, ended.stderr
    assert ended.stderr == ""
    verified = json.loads(ended.stdout)
    assert verified["events"] > 0
    assert verified["keys"] > 0
    with psycopg.connect(postgres.superusers_url()) as connection:
        runs = connection.execute(
            "select ok, (figures->>'events')::int from audit_checkrun"
            " where name = 'backup.verified'"
        ).fetchall()
        acts = connection.execute(
            "select success, actor from audit_event where action = 'backup:verify'"
        ).fetchall()
    assert runs == [(True, verified["events"])]
    assert acts == [(True, "system:backup")]
    assert list((home.root / "backup").glob("verify.*.copy")) == []


def typed(home: Home, *words: str) -> subprocess.CompletedProcess[str]:
    """Returns what a command typed on this home prints."""
    place = os.environ["FOREBAY_BACKUP_TO"]
    variables = {"FOREBAY_HOME": str(home.root), "FOREBAY_BACKUP_TO": place}
    return subprocess.run(
        [sys.executable, "-m", "config.command", *words],
        cwd=PROJECT,
        env={**bare_environment(), **variables},
        capture_output=True,
        text=True,
    )


@pytest.mark.unit
class TestStatus:
    def test_all_is_well(self, home: Home, capsys: pytest.CaptureFixture[str]) -> None:
        now = 1e10
        Progress(pid=os.getpid(), stored_until=now, base="20261130T031500Z").write(home.root)
        assert backup(["status", "--json"]) == 0
        answer = json.loads(capsys.readouterr().out)
        assert (answer["running"], answer["base"]) == (True, "20261130T031500Z")

    @pytest.mark.parametrize(
        "progress",
        [
            Progress(),
            Progress(pid=os.getpid(), stored_until=1.0),
            Progress(pid=2**22 + 1, stored_until=1e10),
            Progress(pid=os.getpid(), stored_until=1e10, failure="no room", failing_since=9e9),
        ],
    )
    def test_something_is_not(self, home: Home, progress: Progress) -> None:
        progress.write(home.root)
        assert backup(["status"]) == 1

    def test_findings_are_counted(self, home: Home, capsys: pytest.CaptureFixture[str]) -> None:
        Verified(at=1e9, findings=["a", "b"]).write(home.root)
        backup(["status"])
        assert "2 findings" in capsys.readouterr().out

    def test_a_broken_record_counts_as_none(self, home: Home) -> None:
        Progress().write(home.root)
        Progress.file(home.root).write_text("{")
        assert Progress.read(home.root) == Progress()


@pytest.fixture(scope="module")
def a_kit(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A kit of the fixture `home`; age takes a second for each passphrase."""
    home = tmp_path_factory.mktemp("kit-home")
    (home / "secrets").mkdir()
    (home / "secrets" / "master.key").write_text(MASTER_KEY)
    write(home, home / "kit.age", WORDS)
    return home / "kit.age"


@pytest.fixture(scope="module")
def decrypt() -> Callable[[bytes, str], bytes]:
    return cache(pyrage.passphrase.decrypt)


@pytest.mark.unit
class TestKit:
    @pytest.fixture(autouse=True)
    def once(self, monkeypatch: pytest.MonkeyPatch, decrypt: Callable[[bytes, str], bytes]) -> None:
        """The same kit is decrypted once for all tests."""
        monkeypatch.setattr("pyrage.passphrase.decrypt", decrypt)

    def test_it_has_every_secret_and_gives_those_that_are_missing(
        self, home: Home, a_kit: Path, tmp_path: Path
    ) -> None:
        assert MASTER_KEY.encode() not in a_kit.read_bytes()
        assert a_kit.stat().st_mode & 0o077 == 0
        assert read(a_kit, WORDS) == {"master.key": MASTER_KEY.encode()}
        check(home.root, a_kit, WORDS)
        assert Verified.read(home.root).kit_at > 0
        other = Home(tmp_path / "other")
        (other.root / "secrets").mkdir(parents=True)
        assert unpack(a_kit, WORDS, other) == ["master.key"]
        assert unpack(a_kit, WORDS, other) == [], "what is there stays"

    def test_one_of_another_installation_is_refused_and_takes_nothings_place(
        self, home: Home, a_kit: Path
    ) -> None:
        (home.secrets / "master.key").write_text("another\n")
        with pytest.raises(
            RunProblem, match=r"has other secrets than .*\(master.key\): move those"
        ):
            unpack(a_kit, WORDS, home)
        assert (home.secrets / "master.key").read_text() == "another\n"

    def test_it_is_out_of_date_once_a_secret_is_new(self, home: Home, a_kit: Path) -> None:
        (home.secrets / "backup.key").write_text("new")
        with pytest.raises(RunProblem, match=r"out of date \(backup.key\)"):
            check(home.root, a_kit, WORDS)

    def test_another_passphrase_opens_nothing(self, a_kit: Path) -> None:
        with pytest.raises(RunProblem, match="does not open with this passphrase"):
            read(a_kit, WORDS + "!")

    def test_a_short_passphrase_is_refused(
        self, home: Home, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        (tmp_path / "words").write_text("short")
        assert backup(["kit", str(tmp_path / "kit.age")]) == 2
        assert "12 characters or more" in capsys.readouterr().err
        assert not (tmp_path / "kit.age").exists()

    @pytest.mark.parametrize("check", [(), ("--check",)])
    def test_a_home_without_secrets_has_no_kit(
        self,
        home: Home,
        a_kit: Path,
        tmp_path: Path,
        capsys: pytest.CaptureFixture[str],
        check: Sequence[str],
    ) -> None:
        """Somebody forgot FOREBAY_HOME. A kit of nothing opens no backup."""
        (home.secrets / "master.key").unlink()
        file = a_kit if check else tmp_path / "kit.age"
        assert backup(["kit", *check, str(file)]) == 2
        assert "there are no secrets in" in capsys.readouterr().err
        assert Verified.read(home.root).kit_at == 0
        assert file.exists() == bool(check)

    def test_a_passphrase_that_is_no_text_is_refused(
        self, home: Home, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        (tmp_path / "words").write_bytes(b"\xff" * 20)
        assert backup(["kit", str(tmp_path / "kit.age")]) == 2
        assert "no text in UTF-8" in capsys.readouterr().err

    def test_a_secret_that_a_variable_has_is_named(
        self,
        home: Home,
        a_kit: Path,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        for name in ("FOREBAY_KMS_URL", "FOREBAY_AUDIT_SIGNING_KEY"):
            monkeypatch.delenv(name, raising=False)
        for name in ("FOREBAY_MASTER_KEY", "FOREBAY_PLATFORM_SECRET"):
            monkeypatch.setenv(name, "abc")
        assert backup(["kit", "--check", str(a_kit)]) == 0
        shown = capsys.readouterr().out
        assert "opens, and has what this home has" in shown
        assert "FOREBAY_MASTER_KEY is not in it" in shown
        assert "FOREBAY_PLATFORM_SECRET is not in it" in shown

    def test_a_program_reads_what_is_not_in_it(
        self, home: Home, a_kit: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert backup(["kit", "--check", "--json", str(a_kit)]) == 0
        answer = json.loads(capsys.readouterr().out)
        assert answer["file"] == str(a_kit)
        assert isinstance(answer["elsewhere"], list)

    def test_one_that_is_lost_is_made_again_with_a_new_key_at_a_new_place(
        self, home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """As docs/operations/backup.md says: the old backups stay readable with the old key."""
        configured.make_key(home.root)
        old = (home.secrets / "backup.key").rename(tmp_path / "backup.key.old")
        (tmp_path / "place" / "7713" / "base").mkdir(parents=True)
        with pytest.raises(RunProblem, match="put the key back"):
            configured.make_key(home.root)
        monkeypatch.setenv("FOREBAY_BACKUP_TO", str(tmp_path / "new-place"))
        configured.make_key(home.root)
        assert (home.secrets / "backup.key").read_text() != old.read_text()


@pytest.mark.unit
class TestWithoutWhatIsNeeded:
    def test_no_place(
        self, home: Home, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.delenv("FOREBAY_BACKUP_TO")
        assert backup(["list"]) == 2
        assert "set FOREBAY_BACKUP_TO" in capsys.readouterr().err

    @pytest.mark.parametrize("text", ["2026-11-30T03:15:00", "2026-11-30", "yesterday"])
    def test_a_moment_without_its_zone_is_no_moment(
        self, home: Home, text: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """It would be hours off, and what was written in between would be gone."""
        for command, words in ((restore, ["--at", text]), (backup, ["verify", "--at", text])):
            with pytest.raises(SystemExit):
                command(words)
            assert "with an offset from UTC" in capsys.readouterr().err

    @pytest.mark.parametrize("place", ["pgbackrest:main", ""])
    def test_the_data_folder_is_named_where_the_database_is_ones_own_and_only_there(
        self, home: Home, tmp_path: Path, place: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        configured.make_key(home.root)
        (tmp_path / "place" / "7713").mkdir(parents=True)
        words = ["--from", place] if place else ["--data", str(tmp_path / "data")]
        assert restore(words) == 2
        assert "--data FOLDER names the data folder of a PostgreSQL" in capsys.readouterr().err

    def test_a_database_that_is_away(self, tmp_path: Path) -> None:
        url = f"postgres://postgres@/postgres?host={tmp_path}&port=5432"
        with pytest.raises(RunProblem, match="PostgreSQL does not answer"):
            Cluster.connect(url, tmp_path)

    def test_a_database_that_takes_no_more_connections(
        self, home: Home, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        class Full:
            def take(self) -> None:
                raise psycopg.OperationalError("sorry, too many clients already")

        monkeypatch.setenv("DATABASE_URL", "postgres://here")
        monkeypatch.setattr("config.backup.configured.kind", lambda *_words, **_more: Full())
        assert backup(["now"]) == 2
        assert capsys.readouterr().err == "forebay backup: sorry, too many clients already\n"

    def test_no_key(self, home: Home, capsys: pytest.CaptureFixture[str]) -> None:
        assert backup(["list"]) == 2
        assert "backup.key is missing" in capsys.readouterr().err

    def test_no_backups(self, home: Home, capsys: pytest.CaptureFixture[str]) -> None:
        configured.make_key(home.root)
        assert backup(["list"]) == 2
        assert "has no backups" in capsys.readouterr().err

    def test_a_restore_opens_nothing(
        self, home: Home, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """Not even the key that a first start would make is made."""
        assert restore(["--from", str(tmp_path / "place")]) == 2
        assert "backup.key is missing: no backup opens without the key" in capsys.readouterr().err
        assert sorted(file.name for file in home.secrets.iterdir()) == ["master.key"]
        assert not (home.root / "postgres").exists()

    def test_the_key_is_gone_and_backups_are_there(self, home: Home, tmp_path: Path) -> None:
        """A second key would make the first one's backups unreadable in time."""
        (tmp_path / "place" / "7713" / "base").mkdir(parents=True)
        (tmp_path / "place" / "7713" / "base" / "x").write_text("")
        with pytest.raises(RunProblem, match="put the key back"):
            configured.make_key(home.root)

    def test_a_place_that_is_none(
        self, home: Home, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        configured.make_key(home.root)
        monkeypatch.setenv("FOREBAY_BACKUP_TO", "ftp://nowhere")
        assert backup(["list"]) == 2
        assert "is no folder or bucket" in capsys.readouterr().err
