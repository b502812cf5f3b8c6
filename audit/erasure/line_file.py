"""Append-only files of lines. Each line is on disk before `append` returns."""

import fcntl
import os
from pathlib import Path
from typing import BinaryIO

CUT_OFF = "... cut off"  # ends a line that a full disk or a crash left incomplete


def append(path: Path, text: str) -> None:
    """Appends a line. After an OSError it does not count as written, even if the file has it."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with open(os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600), "r+b") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.write(f"{_ending_of_last_line(file)}{text}\n".encode())
        file.flush()
        os.fsync(file.fileno())


def _ending_of_last_line(file: BinaryIO) -> str:
    """Returns the text that closes an incomplete last line."""
    size = file.seek(0, os.SEEK_END)
    file.seek(max(0, size - 2))
    tail = file.read()
    if not tail or tail.endswith(b"\n"):
        return ""
    return "\n" if tail.endswith(b"}") else f"{CUT_OFF}\n"
