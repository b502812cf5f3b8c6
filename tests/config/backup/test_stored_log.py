"""The log in a place, as a restore reads it, while somebody may write to the place."""

from pathlib import Path

import pytest

from config.backup.backup_key import BackupKey
from config.backup.bases import StoredBase
from config.backup.repository import Repository, open_store
from config.backup.sealed import Unreadable
from config.backup.stored_log import StoredLog

pytestmark = pytest.mark.unit
MEGABYTE = 1 << 20
NAME = "000000010000000000000003"


@pytest.fixture
def repository(key: BackupKey, place: Path) -> Repository:
    return Repository(open_store(str(place)), "7713", key)


def a_base(timeline: int, ends: int) -> StoredBase:
    return StoredBase(
        label="20261130T031500Z",
        ended_at="2026-11-30T03:15:01+00:00",
        stored_bytes=1,
        content_bytes=1,
        postgresql="18",
        timeline=timeline,
        begins=ends - 100,
        ends=ends,
        segment_bytes=MEGABYTE,
        forebay="1",
    )


def test_pieces_that_are_replaced_by_their_segment_during_a_restore_are_read_from_it(
    repository: Repository,
) -> None:
    repository.put(f"wal/{NAME}.00000000-00000003", b"abc")
    log = StoredLog.read(repository)
    repository.put(f"wal/{NAME}", b"abcdef" + bytes(MEGABYTE - 6))
    repository.delete(f"wal/{NAME}.00000000-00000003")
    content = log.get(NAME, MEGABYTE)
    assert content is not None
    assert content.startswith(b"abcdef")
    assert log.get("000000010000000000000004", MEGABYTE) is None


def test_the_end_is_that_of_the_last_piece_without_a_hole_before_it(
    repository: Repository,
) -> None:
    repository.put("wal/000000010000000000000002", bytes(MEGABYTE))
    assert StoredLog.read(repository).end(MEGABYTE) == 3 * MEGABYTE
    repository.put(f"wal/{NAME}.00000000-00000003", b"abc")
    repository.put(f"wal/{NAME}.00000010-00000020", b"after a hole")
    assert StoredLog.read(repository).end(MEGABYTE) == 3 * MEGABYTE + 3


def test_a_timeline_that_left_before_the_base_was_made_is_not_followed(
    repository: Repository,
) -> None:
    """A copy that was restored for a look has once written to the same place."""
    repository.put("wal/00000002.history", b"1\t0/300000\tno recovery target specified\n")
    log = StoredLog.read(repository)
    assert log.newest_timeline(a_base(timeline=1, ends=0x300000)) == 2
    assert log.newest_timeline(a_base(timeline=1, ends=0x300001)) == 1
    assert log.newest_timeline(a_base(timeline=2, ends=0x400000)) == 2


def test_the_backup_of_another_database_does_not_pass_for_this_ones(
    repository: Repository, key: BackupKey, place: Path
) -> None:
    """The same key: somebody has copied the objects of one database over those of another."""
    repository.put(f"wal/{NAME}", b"of 7713")
    other = Repository(open_store(str(place)), "8888", key)
    (place / "7713").rename(place / "8888")
    with pytest.raises(Unreadable, match="not signed with this key under this name"):
        other.get(f"wal/{NAME}")
