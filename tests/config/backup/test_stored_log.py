"""The log in a place, as a restore reads it, while somebody may write to the place."""

from dataclasses import replace
from datetime import datetime
from pathlib import Path

import msgspec
import pytest

from config.backup import bases, retention, rollback
from config.backup.bases import StoredBase
from config.backup.storage.backup_key import BackupKey
from config.backup.storage.repository import Repository, open_store, systems
from config.backup.storage.sealed import Unreadable
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
    base = a_base(timeline=1, ends=0x200000)
    repository.put("wal/000000010000000000000002", bytes(MEGABYTE))
    assert StoredLog.read(repository).end(base) == 3 * MEGABYTE
    repository.put(f"wal/{NAME}.00000000-00000003", b"abc")
    repository.put(f"wal/{NAME}.00000010-00000020", b"after a hole")
    assert StoredLog.read(repository).end(base) == 3 * MEGABYTE + 3


def test_log_of_a_timeline_that_was_left_does_not_hide_what_is_gone_of_the_newest(
    repository: Repository,
) -> None:
    """The database went back to an earlier moment; what it wrote before stays in the place."""
    for number in range(2, 10):
        repository.put(f"wal/00000001000000000000000{number}", b"x")
    repository.put("wal/00000002.history", b"1\t0/480000\tbefore a mistake\n")
    for number in (4, 6):
        repository.put(f"wal/00000002000000000000000{number}", b"x")
    log = StoredLog.read(repository)
    base = a_base(timeline=1, ends=0x300000)
    assert log.missing_since(base) == [5]
    assert log.end(base) == 7 * MEGABYTE


def test_log_that_a_newer_base_needs_stays_though_an_older_one_begins_after_it(
    repository: Repository,
) -> None:
    """The older one is of a timeline that was left, for an earlier moment."""
    abandoned = replace(a_base(timeline=1, ends=0x900000), label="20261130T031500Z")
    newest = replace(a_base(timeline=2, ends=0x500000), label="20261201T031500Z")
    for base in (abandoned, newest):
        repository.put(f"base/{base.label}/manifest.json", msgspec.json.encode(base))
    repository.put("wal/000000020000000000000003", b"no base needs it")
    repository.put("wal/000000020000000000000005", b"the newest does")
    retention.apply(repository, before=0)
    assert repository.names("wal") == ["000000020000000000000005"]


def test_a_clock_that_was_ahead_hides_no_later_base_and_removes_none_too_early(
    repository: Repository,
) -> None:
    ahead = replace(
        a_base(timeline=1, ends=0x300000),
        label="20991130T031500Z",
        ended_at="2099-11-30T03:16:00+00:00",
    )
    repository.put(f"base/{ahead.label}/manifest.json", msgspec.json.encode(ahead))
    later = replace(a_base(timeline=1, ends=0x600000), label=ahead.next_label)
    repository.put(f"base/{later.label}/manifest.json", msgspec.json.encode(later))
    assert bases.all_bases(repository) == [ahead, later]
    made = datetime.fromisoformat(later.ended_at).timestamp()
    assert retention.apply(repository, before=made - 1) == 0
    assert retention.apply(repository, before=made + 1) == 1
    assert bases.all_bases(repository) == [later]


def test_a_manifest_that_somebody_changed_hides_no_other_and_is_named(
    repository: Repository, place: Path, key: BackupKey
) -> None:
    base = a_base(timeline=1, ends=0x300000)
    repository.put(f"base/{base.label}/manifest.json", msgspec.json.encode(base))
    forged = place / "7713" / "base" / "20991231T000000Z" / "manifest.json.zst.age"
    forged.parent.mkdir()
    forged.write_bytes(b"garbage")
    assert bases.all_bases(repository) == [base]
    retention.apply(repository, before=0)
    (line,) = rollback.missing_objects(repository, stored=0, base=base.label, witness={})
    assert "a base backup does not open: 7713/base/20991231T000000Z/manifest.json" in line
    other = Repository(open_store(str(place)), "7713", BackupKey.create())
    with pytest.raises(Unreadable, match="does not open with this key"):
        bases.all_bases(other)


def test_an_object_too_large_to_be_ours_is_not_read(
    repository: Repository, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("config.backup.storage.repository._LARGEST", 1000)
    repository.put("writer", b"x")
    (place / "7713" / "writer.zst.age").write_bytes(bytes(1001))
    with pytest.raises(Unreadable, match="has 1,001 bytes: it is not ours"):
        repository.get("writer")


def test_other_folders_of_a_disk_are_no_backups(repository: Repository, place: Path) -> None:
    (place / "lost+found").mkdir(parents=True)
    assert systems(open_store(str(place))) == []
    repository.put("writer", b"x")
    assert systems(open_store(str(place))) == ["7713"]


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
