"""`forebay backup` and `forebay restore` as they are typed, on a home whose PostgreSQL runs."""

import json
import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from config.backup import configured
from config.backup.kit import check, read, unpack, write
from config.command.backup import backup
from config.command.restore import restore
from config.supervisor.home import Home
from config.supervisor.terminal import Problem
from console.backups.record import Progress, Verified
from tests import prepared
from tests.supervisor.running import HOSTED, Running

WORDS = "four words of nothing"


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    made = Home(tmp_path / "home")
    (made.root / "secrets").mkdir(parents=True)
    (made.root / "secrets" / "master.key").write_text("abc\n")
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


@pytest.mark.unit
class TestKit:
    def test_it_has_every_secret_and_gives_those_that_are_missing(
        self, home: Home, tmp_path: Path
    ) -> None:
        file = tmp_path / "kit.age"
        write(home.root, file, WORDS)
        assert b"abc" not in file.read_bytes()
        assert read(file, WORDS) == {"master.key": b"abc\n"}
        check(home.root, file, WORDS)
        assert Verified.read(home.root).kit_at > 0
        other = Home(tmp_path / "other")
        (other.root / "secrets").mkdir(parents=True)
        assert unpack(file, WORDS, other) == ["master.key"]
        assert unpack(file, WORDS, other) == [], "what is there stays"

    def test_it_is_out_of_date_once_a_secret_is_new(self, home: Home, tmp_path: Path) -> None:
        file = tmp_path / "kit.age"
        write(home.root, file, WORDS)
        (home.secrets / "backup.key").write_text("new")
        with pytest.raises(Problem, match=r"out of date \(backup.key\)"):
            check(home.root, file, WORDS)

    def test_another_passphrase_opens_nothing(self, home: Home, tmp_path: Path) -> None:
        file = tmp_path / "kit.age"
        write(home.root, file, WORDS)
        with pytest.raises(Problem, match="does not open with this passphrase"):
            read(file, WORDS + "!")

    def test_a_short_passphrase_is_refused(
        self, home: Home, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        (tmp_path / "words").write_text("short")
        assert backup(["kit", str(tmp_path / "kit.age")]) == 2
        assert "12 characters or more" in capsys.readouterr().err
        assert not (tmp_path / "kit.age").exists()


@pytest.mark.unit
class TestWithoutWhatIsNeeded:
    def test_no_place(
        self, home: Home, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.delenv("FOREBAY_BACKUP_TO")
        assert backup(["list"]) == 2
        assert "set FOREBAY_BACKUP_TO" in capsys.readouterr().err

    def test_no_key(self, home: Home, capsys: pytest.CaptureFixture[str]) -> None:
        assert backup(["list"]) == 2
        assert "backup.key is missing" in capsys.readouterr().err

    def test_no_backups(self, home: Home, capsys: pytest.CaptureFixture[str]) -> None:
        configured.make_key(home.root)
        assert backup(["list"]) == 2
        assert "has no backups" in capsys.readouterr().err

    def test_the_key_is_gone_and_backups_are_there(self, home: Home, tmp_path: Path) -> None:
        """A second key would make the first one's backups unreadable in time."""
        (tmp_path / "place" / "7713" / "base").mkdir(parents=True)
        (tmp_path / "place" / "7713" / "base" / "x").write_text("")
        with pytest.raises(Problem, match="put the key back"):
            configured.make_key(home.root)

    def test_a_place_that_is_none(
        self, home: Home, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        configured.make_key(home.root)
        monkeypatch.setenv("FOREBAY_BACKUP_TO", "ftp://nowhere")
        assert backup(["list"]) == 2
        assert "is no folder or bucket" in capsys.readouterr().err
