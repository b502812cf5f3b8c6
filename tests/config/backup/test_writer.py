"""One installation at a time writes to a place."""

from pathlib import Path

import pytest

from config.backup.storage.backup_key import BackupKey
from config.backup.storage.repository import Repository, open_store
from config.backup.storage.writer import Writer, Writing
from config.supervisor.terminal import RunProblem
from console.backups.record import Progress

pytestmark = pytest.mark.unit


@pytest.fixture
def repository(key: BackupKey, place: Path) -> Repository:
    return Repository(open_store(str(place)), "7713", key)


def test_a_second_one_is_refused_until_the_first_has_been_silent(
    repository: Repository, tmp_path: Path
) -> None:
    repository.put("base/x/base.tar", b"x")
    first, second = Writing(repository, tmp_path / "a"), Writing(repository, tmp_path / "b")
    first.renew(Progress(stored=7, base="x", witness={"t.jsonl": 3}), now=1000)
    with pytest.raises(RunProblem, match="writes its backups of this database there too"):
        second.renew(Progress(), now=1100)
    second.renew(Progress(), now=1121)
    with pytest.raises(RunProblem, match="last 4 s ago"):
        first.renew(Progress(), now=1125)


def test_a_clone_of_the_machine_is_noticed_and_a_new_base_made_after_it(
    repository: Repository, tmp_path: Path
) -> None:
    """It has the same home, and with it the same identity."""
    original, clone = Writing(repository, tmp_path), Writing(repository, tmp_path)
    original.renew(Progress(), now=1000)
    clone.renew(Progress(stored=9), now=1010)
    with pytest.raises(RunProblem, match="writes its backups of this database there too"):
        original.renew(Progress(), now=1020)
    clone.renew(Progress(stored=9), now=1030)
    original.renew(Progress(), now=1200)
    assert original.stored_before > 10**15, "more than any database has written"
    assert clone.stored_before < 10


def test_a_clone_on_another_machine_is_refused_at_once(
    repository: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original, clone = Writing(repository, tmp_path), Writing(repository, tmp_path)
    original.renew(Progress(), now=1000)
    monkeypatch.setattr("socket.gethostname", lambda: "another")
    with pytest.raises(RunProblem, match="last 10 s ago"):
        clone.renew(Progress(), now=1010)
    clone.renew(Progress(), now=1121)


def test_a_disk_that_is_not_mounted_is_not_taken_for_an_empty_place(
    repository: Repository, tmp_path: Path
) -> None:
    """What is written there would fill another disk."""
    stored = Progress(stored=7, base="20261130T031500Z")
    writing = Writing(repository, tmp_path)
    writing.renew(Progress(), now=1000)  # nothing was ever stored
    repository.delete("writer")
    with pytest.raises(RunProblem, match="is its disk mounted"):
        writing.renew(stored, now=2000)
    assert Writer.read(repository) is None
    repository.put("base/20261130T041500Z/base.tar", b"made by hand")
    writing.renew(stored, now=2000)


def test_a_restart_of_the_same_home_is_not_another(repository: Repository, tmp_path: Path) -> None:
    for now in (1000, 1001):
        Writing(repository, tmp_path).renew(Progress(), now=now)


def test_it_says_how_far_it_is_and_not_at_each_look(repository: Repository, tmp_path: Path) -> None:
    repository.put("base/x/base.tar", b"x")
    writing = Writing(repository, tmp_path)
    assert Writer.read(repository) is None
    writing.renew(Progress(stored=7, base="x", witness={"t.jsonl": 3}), now=1000)
    writing.renew(Progress(stored=8), now=1014)
    writer = Writer.read(repository)
    assert writer
    assert (writer.at, writer.stored, writer.base, writer.witness) == (1000, 7, "x", {"t.jsonl": 3})
    writing.renew(Progress(stored=8), now=1015)
    writer = Writer.read(repository)
    assert writer
    assert writer.stored == 8
