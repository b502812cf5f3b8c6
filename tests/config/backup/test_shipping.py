"""The log's way from the spool into the place, while the receiver goes on writing."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from config.backup.storage.backup_key import BackupKey
from config.backup.storage.repository import Repository, open_store
from config.backup.write_ahead_log.shipping import Shipping

pytestmark = pytest.mark.unit
MEGABYTE = 1 << 20
FIRST, SECOND, THIRD = (f"00000001000000000000000{number}" for number in (2, 3, 4))


@pytest.fixture
def spool(tmp_path: Path) -> Path:
    (tmp_path / "spool").mkdir()
    return tmp_path / "spool"


class Busy(Repository):
    """While a segment is being stored, the receiver ends the next one and begins another."""

    spool: Path

    def put(self, name: str, content: bytes) -> None:
        super().put(name, content)
        if name == f"wal/{FIRST}":
            (self.spool / f"{SECOND}.partial").rename(self.spool / SECOND)
            (self.spool / f"{THIRD}.partial").write_bytes(bytes(MEGABYTE))


def test_a_segment_that_ends_meanwhile_is_stored_before_its_end_counts(
    key: BackupKey, place: Path, spool: Path
) -> None:
    repository = Busy(open_store(str(place)), "7713", key)
    repository.spool = spool
    cluster: Any = SimpleNamespace(segment_bytes=MEGABYTE)
    (spool / FIRST).write_bytes(b"1" * MEGABYTE)
    (spool / f"{SECOND}.partial").write_bytes(b"2" * MEGABYTE)
    Shipping(repository, cluster, spool).ship(received=3 * MEGABYTE + 1000)
    assert repository.get(f"wal/{SECOND}") == b"2" * MEGABYTE
    assert [file.name for file in spool.iterdir()] == [f"{THIRD}.partial"]
