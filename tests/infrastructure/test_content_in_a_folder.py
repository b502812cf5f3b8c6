"""Files by their SHA-256 in a folder: what a killed writer leaves there."""

import os
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from infrastructure.objects.content import ContentStore, digest_of
from infrastructure.objects.place import first_line

pytestmark = pytest.mark.unit
# Stores a file that stops in its middle.
WRITER = """
import io, sys, time
from infrastructure.objects.content import ContentStore

class Source(io.RawIOBase):
    left = 10
    def open(self, mode):
        return self
    def read(self, size):
        self.left -= 1
        return b"x" * size if self.left > 0 else time.sleep(60)

ContentStore.open(sys.argv[1]).put("acme", "a" * 64, Source())
"""
TOP = Path(__file__).parents[2]


def killed_while_it_stores(folder: Path) -> Path:
    """Returns what it leaves."""
    with subprocess.Popen([sys.executable, "-c", WRITER, str(folder)], cwd=TOP) as writer:
        until = time.monotonic() + 30
        while not (drafts := list(folder.rglob("*#*"))) and time.monotonic() < until:
            time.sleep(0.05)
        writer.kill()
    (draft,) = drafts
    return draft


def test_what_a_killed_writer_left_goes_after_a_while(tmp_path: Path) -> None:
    folder, whole = tmp_path / "store", tmp_path / "whole"
    store = ContentStore.open(str(folder))
    whole.write_bytes(b"whole")
    store.put("acme", digest_of(whole), whole)
    draft = killed_while_it_stores(folder)
    names = [each.sha256 for each in store.stored("acme")]
    assert names == [digest_of(whole)], "nobody could delete it by its name"
    a_day_ago = datetime.now(UTC) - timedelta(days=1)
    store.delete_drafts(a_day_ago)
    assert draft.exists(), "its writer may live"
    os.utime(draft, (0, 0))
    store.delete_drafts(a_day_ago)
    assert not draft.exists()
    assert store.has("acme", digest_of(whole))


def test_a_fault_without_words_is_called_by_its_kind() -> None:
    assert first_line(TimeoutError()) == "TimeoutError"
