"""Files that grow by a line a second, for years, in the repository and back."""

from pathlib import Path

import pytest

from config.backup import rollback, witness_files
from config.backup.storage.backup_key import BackupKey
from config.backup.storage.repository import Repository, open_store
from config.backup.witness_files import WitnessFiles
from config.supervisor.home import Home
from config.supervisor.terminal import RunProblem

pytestmark = pytest.mark.unit
NAME = "checkpoints.jsonl"


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(witness_files, "_CHUNK", 10)


@pytest.fixture
def repository(key: BackupKey, place: Path) -> Repository:
    return Repository(open_store(str(place)), "7713", key)


@pytest.fixture
def home(tmp_path: Path) -> Home:
    (tmp_path / "home" / "witness").mkdir(parents=True)
    return Home(tmp_path / "home")


def file(home: Home) -> Path:
    return home.root / "witness" / NAME


def append(home: Home, text: str) -> None:
    with file(home).open("a") as lines:
        lines.write(text)


def taken(repository: Repository, folder: Path) -> str:
    folder.mkdir(exist_ok=True)
    WitnessFiles(repository, Home(folder)).take()
    return file(Home(folder)).read_text()


def test_what_is_stored_again_is_the_end_and_not_the_whole_file(
    repository: Repository, home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A month of checkpoints is a gigabyte, and another one comes each second."""
    stored: list[int] = []
    put = Repository.put

    def counted(self: Repository, name: str, content: bytes) -> None:
        stored.append(len(content))
        put(self, name, content)

    monkeypatch.setattr(Repository, "put", counted)
    monkeypatch.setattr(witness_files, "_PACE", 1 << 40)  # at once
    witness = WitnessFiles(repository, home)
    append(home, "0123456789" * 20)
    assert witness.ship() == {NAME: 200}
    for number in range(30):
        append(home, f"{number % 10}")
        stored.clear()
        assert witness.ship() == {NAME: 201 + number}
        assert sum(stored) <= 10
    assert witness.ship() == {NAME: 230}
    assert WitnessFiles(repository, home).ship() == {NAME: 230}, "a later process goes on"
    assert taken(repository, tmp_path / "other") == file(home).read_text()


def test_a_large_end_is_stored_less_often(
    repository: Repository, home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(witness_files, "_PACE", 0.001)
    witness = WitnessFiles(repository, home)
    append(home, "01234")
    assert witness.ship() == {NAME: 5}
    append(home, "567")
    assert witness.ship() == {NAME: 5}, "not yet"
    append(home, "89")
    assert witness.ship() == {NAME: 10}, "what is full is final"


@pytest.mark.parametrize("content", ["0123", "0123456789x", "9" * 12])
def test_a_file_that_lost_lines_is_refused(
    repository: Repository, home: Home, content: str
) -> None:
    witness = WitnessFiles(repository, home)
    append(home, "0123456789ab")
    witness.ship()
    file(home).write_text(content)
    for each in (witness, WitnessFiles(repository, home)):
        with pytest.raises(RunProblem, match="lacks lines that its backup has"):
            each.ship()


@pytest.mark.parametrize(
    ("here", "after"),
    [
        ("", "0123456789ab"),
        ("0123", "0123456789ab"),
        ("0123456789ab", "0123456789ab"),
        ("0123456789abcd", "0123456789abcd"),
    ],
)
def test_a_restore_brings_a_file_up_to_what_is_stored_and_takes_nothing_away(
    repository: Repository, home: Home, tmp_path: Path, here: str, after: str
) -> None:
    append(home, "0123456789ab")
    WitnessFiles(repository, home).ship()
    (tmp_path / "other" / "witness").mkdir(parents=True)
    file(Home(tmp_path / "other")).write_text(here)
    assert taken(repository, tmp_path / "other") == after
    assert [each.name for each in (tmp_path / "other" / "witness").iterdir()] == [NAME]


@pytest.mark.parametrize("here", ["x", "0123456789x", "0123456789abx"[:10] + "zz"])
def test_a_restore_refuses_a_file_with_other_lines(
    repository: Repository, home: Home, tmp_path: Path, here: str
) -> None:
    append(home, "0123456789ab")
    WitnessFiles(repository, home).ship()
    (tmp_path / "other" / "witness").mkdir(parents=True)
    file(Home(tmp_path / "other")).write_text(here)
    with pytest.raises(RunProblem, match="and its backup differ"):
        taken(repository, tmp_path / "other")
    assert file(Home(tmp_path / "other")).read_text() == here


@pytest.mark.parametrize("number", [0, 1, 2])
def test_a_chunk_that_is_gone_or_older_is_lost_with_what_follows(
    repository: Repository, home: Home, number: int
) -> None:
    append(home, "0123456789" * 2 + "ab")
    WitnessFiles(repository, home).ship()
    repository.delete(f"witness/{NAME}.{number:08}")
    (line,) = rollback.missing_witness_lines(repository, {NAME: 22})
    assert line == f"witness/{NAME} has {number * 10} of the 22 bytes that were stored"
