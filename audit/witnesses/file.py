"""`file:///srv/witness/checkpoints.jsonl`: one line per checkpoint, append-only.

The file should be on a disk that the database's administrators cannot write to.
"""

import os
from pathlib import Path
from urllib.parse import unquote, urlsplit


def path_of(url: str) -> Path:
    return Path(unquote(urlsplit(url).path))


def hear(url: str, records: list[bytes]) -> None:
    path = path_of(url)
    path.parent.mkdir(parents=True, exist_ok=True)
    flags = os.O_RDWR | os.O_CREAT | os.O_APPEND
    with open(os.open(path, flags, 0o640), "r+b", buffering=0) as file:
        text = b"".join(record + b"\n" for record in records)
        size = os.fstat(file.fileno()).st_size
        if size and os.pread(file.fileno(), 1, size - 1) != b"\n":
            text = b"\n" + text  # a full disk or a crash cut off the last line
        if (written := file.write(text)) != len(text):
            raise OSError(f"{written} of {len(text)} bytes were written: is the disk full?")
        os.fsync(file.fileno())
