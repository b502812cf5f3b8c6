"""The repository in a bucket of S3, whose faults are reported in one line and do no harm."""

import io
import json
import os
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from config.backup import bases
from config.backup.configured import make_key
from config.backup.storage.backup_key import BackupKey
from config.backup.storage.repository import Repository, open_store, systems
from config.backup.storage.sealed import Unreadable
from config.command.backup import backup
from config.command.restore import restore
from infrastructure.objects.place import StoreError
from tests.config.backup.bucket import NAME, Bucket, serving
from tests.config.backup.conftest import Server
from tests.config.backup.test_recovery import restored

ADDRESS = f"s3://{NAME}/forebay"
MEGABYTE = 1 << 20


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[Bucket]:
    with serving() as running:
        for name, value in running.variables.items():
            monkeypatch.setenv(name, value)
        yield running


@pytest.fixture
def repository(bucket: Bucket, key: BackupKey) -> Repository:
    return Repository(open_store(ADDRESS), "7713", key)


def test_objects_come_back_are_listed_and_deleted(bucket: Bucket, repository: Repository) -> None:
    for number in range(25):  # three pages
        repository.put(f"wal/{number:02}", b"%d" % number)
    assert repository.get("wal/07") == b"7"
    assert repository.names("wal") == [f"{number:02}" for number in range(25)]
    assert repository.names("wal", after="20") == ["20", "21", "22", "23", "24"]
    assert systems(open_store(ADDRESS)) == ["7713"]
    repository.delete("wal/07")
    repository.delete("wal/07")  # what is not there counts as deleted
    with pytest.raises(FileNotFoundError):
        repository.get("wal/07")


def test_only_names_from_there_on_are_asked_for(bucket: Bucket, repository: Repository) -> None:
    """A day of log has thousands of objects, of which the last few matter."""
    for number in range(25):
        repository.put(f"wal/{number:02}", b"x")
    bucket.requests.clear()
    repository.names("wal", after="24")
    assert len(bucket.requests) == 1


def test_a_large_object_goes_in_parts_and_is_read_in_ranges(
    bucket: Bucket, repository: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("config.backup.storage.repository.PART_BYTES", 5 * MEGABYTE)
    monkeypatch.setattr("config.backup.storage.repository.READ_BYTES", 2 * MEGABYTE)
    content = os.urandom(12 * MEGABYTE)
    repository.put_stream("base/a/base.tar", io.BytesIO(content))
    assert sum("partNumber" in request for request in bucket.requests) == 3
    assert bucket.uploads == {}
    target = io.BytesIO()
    repository.get_stream("base/a/base.tar", target)
    assert target.getvalue() == content


def test_an_upload_that_breaks_off_leaves_no_object(
    bucket: Bucket, repository: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("config.backup.storage.repository.PART_BYTES", 5 * MEGABYTE)

    class Broken(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            if self.tell() > 7 * MEGABYTE:
                raise OSError("the disk fails")
            return super().read(size)

    with pytest.raises(StoreError, match="the disk fails"):
        repository.put_stream("base/a/base.tar", Broken(os.urandom(12 * MEGABYTE)))
    assert bucket.objects == {}
    assert bases.all_bases(repository) == []


def test_a_bucket_that_is_busy_for_a_moment_is_asked_again(
    bucket: Bucket, repository: Repository
) -> None:
    bucket.refusals = 2
    repository.put("wal/a", b"x")
    bucket.refusals = 2
    assert repository.get("wal/a") == b"x"


def test_a_bucket_that_stays_busy_or_says_nothing_is_reported_in_time(
    bucket: Bucket, key: BackupKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("infrastructure.objects.place._REQUEST", timedelta(seconds=1))
    repository = Repository(open_store(ADDRESS), "7713", key)
    bucket.refusals = 10**6
    with pytest.raises(StoreError, match=r"7713/wal/a.zst.age: .*503"):
        repository.put("wal/a", b"x")
    bucket.refusals, bucket.stalls_s = 0, 3.0
    with pytest.raises(StoreError, match="7713/wal/a.zst.age: "):
        repository.put("wal/a", b"x")


def test_a_bucket_without_room_is_reported(bucket: Bucket, repository: Repository) -> None:
    bucket.no_room_after = 100
    with pytest.raises(StoreError, match="QuotaExceeded"):
        repository.put("wal/a", b"x")


def test_what_somebody_cut_off_in_the_bucket_does_not_open(
    bucket: Bucket, repository: Repository
) -> None:
    repository.put("wal/a", b"x" * 1000)
    ((name, content),) = bucket.objects.items()
    bucket.objects[name] = content[:-20]
    with pytest.raises(Unreadable):
        repository.get("wal/a")


class TestAsItIsTyped:
    @pytest.fixture(autouse=True)
    def home(self, tmp_path: Path, bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> Path:
        home = tmp_path / "home"
        (home / "secrets").mkdir(parents=True)
        monkeypatch.setattr("config.environment.HOME", home)
        monkeypatch.setenv("FOREBAY_BACKUP_TO", ADDRESS)
        return home

    def test_an_empty_bucket_has_no_backups(
        self, home: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        make_key(home)
        assert backup(["list"]) == 2
        assert f"{ADDRESS} has no backups" in capsys.readouterr().err

    def test_wrong_credentials_are_named(
        self, home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        make_key(home)
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "another")
        assert backup(["list"]) == 2
        assert restore(["--from", ADDRESS]) == 2
        lines = capsys.readouterr().err.splitlines()
        assert len(lines) == 2
        for line in lines:
            assert f"{ADDRESS} cannot be read" in line
            assert "InvalidAccessKeyId" in line

    def test_a_bucket_that_is_gone_is_named(
        self, home: Path, bucket: Bucket, capsys: pytest.CaptureFixture[str]
    ) -> None:
        make_key(home)
        bucket.exists = False
        assert backup(["list"]) == 2
        message = capsys.readouterr().err
        assert f"{ADDRESS} cannot be read" in message
        assert "NoSuchBucket" in message


def test_a_cluster_comes_back_from_a_bucket(
    bucket: Bucket, shared: Server, key: BackupKey, tmp_path: Path
) -> None:
    repository = Repository(open_store(ADDRESS), shared.cluster().system, key)
    shared.rows("truncate number")
    shared.rows("insert into number select generate_series(1, 100)")
    base = bases.take(repository, shared.cluster())
    assert base.content_bytes > 10 * MEGABYTE
    assert restored(shared, repository, tmp_path / "all") == (100, 100)
    manifest = repository.get(f"base/{base.label}/manifest.json")
    assert json.loads(manifest)["label"] == base.label
