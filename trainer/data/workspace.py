"""Output files and index of one preparation, which goes on after a kill, on another host too.

A checkpoint holds what was written since the one before it: all of them together are the state.
"""

import errno
import json
import shutil
import sqlite3
import struct
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from trainer.data.checkpoints import checkpoints, write_checkpoint

PARTS = ("train", "held_out")
_ENTRY = struct.Struct("<BIH")  # part, bytes, and how many hashes follow
_MOST_HELD = 16 << 20
_SCHEMA = """
CREATE TABLE document (
    number INTEGER PRIMARY KEY, part INTEGER NOT NULL, place INTEGER NOT NULL, size INTEGER NOT NULL
);
"""


class Workspace:
    """Records written so far."""

    def __init__(self, database: sqlite3.Connection, output: Path, folder: Path) -> None:
        self.database = database
        self.state: dict[str, Any] | None = None
        self.next_number = 0
        self._folder = folder
        self._paths = [output / f"{part}.jsonl" for part in PARTS]
        self._files: list[BinaryIO] = [path.open("wb") for path in self._paths]
        self._stored = [0, 0]  # bytes of each part that are in checkpoints
        self._entries = bytearray()
        self._step = 0
        database.executescript(_SCHEMA)

    def drop_checkpoints_of_others(self, size: int) -> bool:
        """Drops all where the data had another size. Returns whether it did.

        Later ones get higher numbers than these had.
        """
        steps = checkpoints(self._folder)
        state = _state(steps[-1][1]) if steps else {}
        if state.get("bytes", size) == size:
            return False
        for _step, checkpoint in steps:
            shutil.rmtree(checkpoint)
        self._step = steps[-1][0]
        return True

    def resume(self) -> Iterator[tuple[int, list[int]]]:
        """Takes over all checkpoints; yields the number and the hashes of each document."""
        for step, checkpoint in checkpoints(self._folder):
            for part, file in zip(PARTS, self._files, strict=True):
                with (checkpoint / f"{part}.jsonl").open("rb") as source:
                    shutil.copyfileobj(source, file)
            data, place = (checkpoint / "index").read_bytes(), 0
            while place < len(data):
                part_number, size, count = _ENTRY.unpack_from(data, place)
                hashes = list(struct.unpack_from(f"<{count}q", data, place + _ENTRY.size))
                place += _ENTRY.size + 8 * count
                yield self._enter(part_number, size), hashes
            self.state = _state(checkpoint)
            self._step = step

    def _enter(self, part: int, size: int) -> int:
        """Notes where a record lies, and returns its number."""
        number, place = self.next_number, self._stored[part]
        row = (number, part, place, size)
        self.database.execute("INSERT INTO document VALUES (?, ?, ?, ?)", row)
        self._stored[part] += size
        self.next_number += 1
        return number

    def write(self, record: dict[str, Any], part: int, hashes: list[int]) -> int:
        """Appends a record to a part and returns its number."""
        data = json.dumps(record, ensure_ascii=False).encode() + b"\n"
        self._files[part].write(data)
        self._entries += _ENTRY.pack(part, len(data), len(hashes))
        self._entries += struct.pack(f"<{len(hashes)}q", *hashes)
        return self._enter(part, len(data))

    @property
    def must_checkpoint(self) -> bool:
        return len(self._entries) > _MOST_HELD

    def record(self, number: int) -> dict[str, Any]:
        part, place, size = self.database.execute(
            "SELECT part, place, size FROM document WHERE number = ?", [number]
        ).fetchone()
        self._files[part].flush()
        with self._paths[part].open("rb") as file:
            file.seek(place)
            value: dict[str, Any] = json.loads(file.read(size))
        return value

    def checkpoint(self, state: dict[str, Any]) -> tuple[int, Path]:
        """Writes what came since the last one; returns the step and its folder."""
        for file in self._files:
            file.flush()
        self._step += 1
        before = [size - new for size, new in zip(self._stored, self._new_sizes(), strict=True)]
        places = dict(zip(self._paths, before, strict=True))
        folder = write_checkpoint(self._folder, self._step, places, bytes(self._entries), state)
        self._entries.clear()
        return self._step, folder

    def _new_sizes(self) -> list[int]:
        """Returns the bytes of each part that no checkpoint has."""
        sizes, place = [0, 0], 0
        while place < len(self._entries):
            part, size, count = _ENTRY.unpack_from(self._entries, place)
            sizes[part] += size
            place += _ENTRY.size + 8 * count
        return sizes

    def close(self) -> None:
        for file in self._files:
            file.close()


def _state(checkpoint: Path) -> dict[str, Any]:
    state: dict[str, Any] = json.loads((checkpoint / "state.json").read_text(encoding="utf-8"))
    return state


@contextmanager
def opened(output: Path, folder: Path) -> Iterator[Workspace]:
    """Gives the workspace of a run. Its index is made anew each time, beside the checkpoints."""
    for old in folder.glob("index-*.part"):  # of a run that was killed
        shutil.rmtree(old, ignore_errors=True)
    scratch = Path(tempfile.mkdtemp(prefix="index-", suffix=".part", dir=folder))
    database = sqlite3.connect(scratch / "index.sqlite")
    workspace = Workspace(database, output, folder)
    try:
        database.execute("PRAGMA journal_mode = OFF")  # it is thrown away after a kill
        database.execute("PRAGMA synchronous = OFF")
        database.execute("PRAGMA cache_size = -65536")  # 64 MiB
        yield workspace
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode & 0xFF in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR):
            raise OSError(errno.ENOSPC, "the disk is full") from error
        raise
    finally:
        database.close()
        shutil.rmtree(scratch, ignore_errors=True)
        workspace.close()
