"""One installation at a time writes to a place."""

from pathlib import Path

import pytest

from config.backup.backup_key import BackupKey
from config.backup.repository import Repository, open_store
from config.backup.writer import Writer, Writing
from config.supervisor.terminal import RunProblem
from console.backups.record import Progress

pytestmark = pytest.mark.unit


@pytest.fixture
def repository(key: BackupKey, place: Path) -> Repository:
    return Repository(open_store(str(place)), "7713", key)


def test_a_second_one_is_refused_until_the_first_has_been_silent(
    repository: Repository, tmp_path: Path
) -> None:
    first, second = Writing(repository, tmp_path / "a"), Writing(repository, tmp_path / "b")
    first.renew(Progress(stored=7, base="x", witness={"t.jsonl": 3}), now=1000)
    with pytest.raises(RunProblem, match="writes its backups of this database there too"):
        second.renew(Progress(), now=1100)
    second.renew(Progress(), now=1121)
    with pytest.raises(RunProblem, match="last 4 s ago"):
        first.renew(Progress(), now=1125)


def test_a_restart_of_the_same_home_is_not_another(repository: Repository, tmp_path: Path) -> None:
    for now in (1000, 1001):
        Writing(repository, tmp_path).renew(Progress(), now=now)


def test_it_says_how_far_it_is_and_not_at_each_look(repository: Repository, tmp_path: Path) -> None:
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
