"""Both output files and the database of one preparation, which goes on after a kill."""

import errno
import json
import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

PARTS = ("train", "held_out")
_SCHEMA = """
CREATE TABLE IF NOT EXISTS state (id INTEGER PRIMARY KEY CHECK (id = 1), value TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS document (
    number INTEGER PRIMARY KEY, part INTEGER NOT NULL, place INTEGER NOT NULL, size INTEGER NOT NULL
);
"""


class Workspace:
    """Records written so far. The state is written in the transaction of what it speaks of."""

    def __init__(self, database: sqlite3.Connection, files: list[BinaryIO], output: Path) -> None:
        self.database = database
        self._files = files
        self._output = output
        self.state: dict[str, Any] | None = None
        self.next_number = 0
        database.executescript(_SCHEMA)

    def resume(self) -> None:
        """Takes the state of the last checkpoint, and drops what was written after it."""
        row = self.database.execute("SELECT value FROM state").fetchone()
        self.state = json.loads(row[0]) if row else None
        sizes = self.state["sizes"] if self.state else [0, 0]
        self.next_number = self.state["next_number"] if self.state else 0
        for file, size in zip(self._files, sizes, strict=True):
            file.truncate(size)
            file.seek(size)

    def write(self, record: dict[str, Any], part: int) -> int:
        """Appends a record to a part and returns its number."""
        data = json.dumps(record, ensure_ascii=False).encode() + b"\n"
        place, number = self._files[part].tell(), self.next_number
        self._files[part].write(data)
        row = (number, part, place, len(data))
        self.database.execute("INSERT INTO document VALUES (?, ?, ?, ?)", row)
        self.next_number += 1
        return number

    def record(self, number: int) -> dict[str, Any]:
        part, place, size = self.database.execute(
            "SELECT part, place, size FROM document WHERE number = ?", [number]
        ).fetchone()
        self._files[part].flush()
        with (self._output / f"{PARTS[part]}.jsonl").open("rb") as file:
            file.seek(place)
            value: dict[str, Any] = json.loads(file.read(size))
        return value

    def checkpoint(self, state: dict[str, Any]) -> None:
        """Makes all so far durable: files first, then the row that says how long they are."""
        for file in self._files:
            file.flush()
            os.fsync(file.fileno())
        sizes = [file.tell() for file in self._files]
        value = json.dumps({**state, "sizes": sizes, "next_number": self.next_number})
        self.database.execute("INSERT OR REPLACE INTO state VALUES (1, ?)", [value])
        self.database.commit()


@contextmanager
def opened(output: Path, checkpoints: Path) -> Iterator[Workspace]:
    """Gives the workspace of a run, or of the one that it goes on with."""
    database = sqlite3.connect(checkpoints / "prepare.sqlite", isolation_level="DEFERRED")
    files = [_appended(output / f"{part}.jsonl") for part in PARTS]
    try:
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("PRAGMA cache_size = -65536")  # 64 MiB
        workspace = Workspace(database, files, output)
        workspace.resume()
        yield workspace
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode & 0xFF in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR):
            raise OSError(errno.ENOSPC, "the disk is full") from error
        raise
    finally:
        database.close()
        for file in files:
            file.close()


def _appended(path: Path) -> BinaryIO:
    path.touch()
    return path.open("r+b")
