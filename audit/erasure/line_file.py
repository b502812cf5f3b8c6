"""Lines that are only ever added to a file, each on disk before anything goes on."""

import fcntl
import os
from pathlib import Path
from typing import BinaryIO

CUT_OFF = "... cut off"  # what a full disk or a fall of the machine left of a line ends so


def append(path: Path, text: str) -> None:
    """Raises OSError: it does not count as written then, whatever is in the file."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with open(os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600), "r+b") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.write(f"{_end_of_the_last(file)}{text}\n".encode())
        file.flush()
        os.fsync(file.fileno())


def _end_of_the_last(file: BinaryIO) -> str:
    size = file.seek(0, os.SEEK_END)
    file.seek(max(0, size - 2))
    tail = file.read()
    if not tail or tail.endswith(b"\n"):
        return ""
    return "\n" if tail.endswith(b"}") else f"{CUT_OFF}\n"
