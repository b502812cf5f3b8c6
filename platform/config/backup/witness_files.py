"""FOREBAY_HOME/witness in the repository: erasures and checkpoints that no restore may undo.

The files only grow, one of them by a line a second, for years. They are stored in chunks, of which
the last is stored again as it grows. A restore takes their latest state, whatever moment the
database goes back to.
"""

import io
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count, takewhile
from math import inf
from pathlib import Path

from config.backup.storage.repository import Repository
from config.supervisor.home import Home
from config.supervisor.terminal import RunProblem

_CHUNK = 1 << 20
_PACE = 64 << 10  # bytes a second: a last chunk that is large is stored less often


@dataclass(slots=True)
class StoredFile:
    """A witness file in the repository: chunks that are full, and the content of the one after."""

    repository: Repository
    name: str
    full: int
    last: bytes
    put_at: float = -inf  # never: the clock begins with the machine

    @classmethod
    def read(cls, repository: Repository, name: str) -> "StoredFile":
        """Look at names and the last chunk alone. Raises StoreError, sealed.Unreadable."""
        numbers = _numbers(repository, name)
        last = repository.get(_chunk(name, len(numbers) - 1)) if numbers else b""
        if len(last) == _CHUNK:
            return cls(repository, name, len(numbers), b"")
        return cls(repository, name, max(len(numbers) - 1, 0), last)

    @property
    def size(self) -> int:
        return self.full * _CHUNK + len(self.last)

    def chunks(self) -> Iterator[bytes]:
        """Returns the whole content; one that is not full ends it.

        Raises StoreError, sealed.Unreadable.
        """
        for number in range(self.full):
            chunk = self.repository.get(_chunk(self.name, number))
            yield chunk
            if len(chunk) < _CHUNK:
                return
        yield self.last

    def follow(self, file: Path) -> None:
        """Store by how much the file has grown. Raises StoreError, RunProblem if it has shrunk."""
        with file.open("rb") as lines:
            lines.seek(self.full * _CHUNK)
            content = lines.read(_CHUNK)
            if file.stat().st_size < self.size or not content.startswith(self.last):
                raise RunProblem(f"{file} lacks lines that its backup has: put it back from there")
            while len(content) > len(self.last) and self._is_time(len(content)):
                self._put(content)
                if not self.last:  # the chunk is full
                    content = lines.read(_CHUNK)

    def _is_time(self, size: int) -> bool:
        return size == _CHUNK or time.monotonic() - self.put_at >= size / _PACE

    def _put(self, content: bytes) -> None:
        self.repository.put(_chunk(self.name, self.full), content)
        self.put_at, self.last = time.monotonic(), content
        if len(content) == _CHUNK:
            self.full, self.last, self.put_at = self.full + 1, b"", -inf


class WitnessFiles:
    def __init__(self, repository: Repository, home: Home) -> None:
        self._repository = repository
        self._folder = home.root / "witness"
        self._stored: dict[str, StoredFile] = {}

    def ship(self) -> dict[str, int]:
        """Store by how much files have grown; return how many bytes of each are stored.

        Raises StoreError; RunProblem for a file that has lost lines.
        """
        for file in self._folder.glob("*.jsonl"):
            if file.name not in self._stored:
                self._stored[file.name] = StoredFile.read(self._repository, file.name)
            self._stored[file.name].follow(file)
        return {name: stored.size for name, stored in self._stored.items()}

    def take(self) -> None:
        """Bring the files here up to what is stored.

        Raises StoreError, sealed.Unreadable; RunProblem for a file whose lines are others than the
        stored ones.
        """
        self._folder.mkdir(mode=0o700, exist_ok=True)
        for name in sorted({each.rpartition(".")[0] for each in self._repository.names("witness")}):
            self._take(self._folder / name, StoredFile.read(self._repository, name))

    def _take(self, file: Path, stored: StoredFile) -> None:
        draft = file.with_name(f".{file.name}.restored")
        draft.unlink(missing_ok=True)
        with (
            file.open("rb") if file.exists() else io.BytesIO() as here,
            open(os.open(draft, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "wb") as target,
        ):
            for chunk in stored.chunks():
                if not chunk.startswith(here.read(len(chunk))):
                    draft.unlink()
                    raise RunProblem(f"{file} and its backup differ: move the wrong one away")
                target.write(chunk)
            target.flush()
            os.fsync(target.fileno())
        if not file.exists() or draft.stat().st_size > file.stat().st_size:
            draft.replace(file)
        else:
            draft.unlink()


def stored_size(repository: Repository, name: str) -> int:
    """Returns how many bytes of a witness file are stored. Raises StoreError, Unreadable."""
    return StoredFile.read(repository, name).size


def _numbers(repository: Repository, name: str) -> list[int]:
    """Returns 0, 1, ... up to the first chunk that is not there."""
    prefix = f"{name}."
    names = repository.names("witness")
    present = {int(each.removeprefix(prefix)) for each in names if _is_chunk(each, prefix)}
    return list(takewhile(present.__contains__, count()))


def _is_chunk(name: str, prefix: str) -> bool:
    return name.startswith(prefix) and name.removeprefix(prefix).isdecimal()


def _chunk(name: str, number: int) -> str:
    return f"witness/{name}.{number:08}"
