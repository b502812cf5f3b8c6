"""Files by their SHA-256 in a bucket of S3: models, adapters and checkpoints of jobs lie there."""

import os
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import pytest

from infrastructure.objects.content import ContentStore, Damaged
from infrastructure.objects.place import StoreError
from tests.config.backup.bucket import NAME, Bucket, serving

pytestmark = pytest.mark.unit
MEGABYTE = 1 << 20


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[Bucket]:
    with serving() as running:
        for name, value in running.variables.items():
            monkeypatch.setenv(name, value)
        yield running


@pytest.fixture
def store(bucket: Bucket) -> ContentStore:
    return ContentStore.open(f"s3://{NAME}/models")


def put(store: ContentStore, owner: str, content: bytes, folder: Path) -> str:
    digest = sha256(content).hexdigest()
    file = folder / digest[:8]
    file.write_bytes(content)
    store.put(owner, digest, file)
    return digest


def test_a_large_file_goes_in_parts_and_is_read_from_any_byte(
    bucket: Bucket, store: ContentStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("infrastructure.objects.content.PART_BYTES", 5 * MEGABYTE)
    monkeypatch.setattr("infrastructure.objects.content.READ_BYTES", 2 * MEGABYTE)
    content = os.urandom(12 * MEGABYTE)
    digest = put(store, "acme", content, tmp_path)
    assert sum("partNumber" in request for request in bucket.requests) == 3
    assert bucket.uploads == {}
    assert store.has("acme", digest)
    for start in (0, 1, 7 * MEGABYTE, len(content) - 1, len(content)):
        assert b"".join(store.read("acme", digest, start)) == content[start:]
    store.copy("acme", digest, tmp_path / "copy")
    assert (tmp_path / "copy").read_bytes() == content


def test_owners_are_apart_and_what_they_store_is_listed(
    bucket: Bucket, store: ContentStore, tmp_path: Path
) -> None:
    digests = {put(store, "acme", b"%d" % number, tmp_path) for number in range(25)}  # three pages
    shared = put(store, "globex", b"7", tmp_path)
    assert shared in digests
    assert store.owners() == ["acme", "globex"]
    assert {each.sha256 for each in store.stored("acme")} == digests
    assert [(each.sha256, each.size) for each in store.stored("globex")] == [(shared, 1)]
    store.delete("acme", shared)
    store.delete("acme", shared)  # what is not there counts as deleted
    assert not store.has("acme", shared)
    assert store.has("globex", shared)
    with pytest.raises(FileNotFoundError):
        list(store.read("acme", shared))
    with pytest.raises(FileNotFoundError):
        store.copy("acme", shared, tmp_path / "gone")


def test_a_file_that_changes_meanwhile_leaves_no_object(
    bucket: Bucket, store: ContentStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("infrastructure.objects.content.PART_BYTES", 5 * MEGABYTE)
    for size in (10, 12 * MEGABYTE):
        file = tmp_path / "file"
        file.write_bytes(os.urandom(size))
        with pytest.raises(Damaged):
            store.put("acme", sha256(b"before").hexdigest(), file)
    assert bucket.objects == {}


def test_what_is_damaged_in_the_bucket_is_not_copied(
    bucket: Bucket, store: ContentStore, tmp_path: Path
) -> None:
    digest = put(store, "acme", b"x" * 1000, tmp_path)
    ((name, content),) = bucket.objects.items()
    bucket.objects[name] = content[:-1] + b"y"
    with pytest.raises(Damaged):
        store.copy("acme", digest, tmp_path / "copy")
    assert not (tmp_path / "copy").exists()


def test_faults_of_the_bucket_are_named(
    bucket: Bucket, store: ContentStore, tmp_path: Path
) -> None:
    digest = put(store, "acme", b"x", tmp_path)
    bucket.refusals = 2  # busy for a moment: it is asked again
    assert b"".join(store.read("acme", digest)) == b"x"
    bucket.no_room_after = 0
    with pytest.raises(StoreError, match="QuotaExceeded"):
        put(store, "acme", b"y" * 1000, tmp_path)
    bucket.exists = False
    for ask in (store.owners, lambda: list(store.stored("acme"))):
        with pytest.raises(StoreError, match="NoSuchBucket"):
            ask()
    with pytest.raises(StoreError, match="NoSuchBucket"):
        put(store, "acme", b"z", tmp_path)
