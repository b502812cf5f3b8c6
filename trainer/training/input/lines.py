"""The lines of training data: JSON objects, of which some are held out by their hash."""

import json
from array import array
from collections.abc import Callable, Iterator
from hashlib import sha256
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np

from trainer.refusals import bad_data

LONGEST_LINE = 1 << 24  # bytes
HELD_OUT_SHARE = 0.05


def read_lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """Yields the number and the bytes of each line that is not empty."""
    with path.open("rb") as file:
        for number in count(1):
            line = file.readline(LONGEST_LINE + 1)
            if not line:
                return
            if len(line) > LONGEST_LINE:
                raise bad_data("long_line", f"Line {number} is longer than 16 MiB")
            if stripped := line.strip():
                yield number, stripped


def read_object(number: int, line: bytes) -> dict[str, Any]:
    try:
        fields = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise bad_data("broken_line", f"Line {number} is no JSON in UTF-8") from error
    if not isinstance(fields, dict):
        raise bad_data("broken_line", f"Line {number} is no JSON object")
    return fields


def held_out_by_hash(path: Path) -> Callable[[bytes], bool]:
    """Returns a test for lines that are held out: the twentieth with the smallest hashes.

    Copies of a line have one hash, so none is on both sides. Of one line nothing is held out.
    """
    hashes = array("Q", (line_hash(line) for _number, line in read_lines(path)))
    values = np.unique(np.frombuffer(hashes, dtype=np.uint64)) if hashes else np.zeros(0)
    if len(values) < 2:
        return lambda _line: False
    limit = int(values[max(1, int(len(values) * HELD_OUT_SHARE)) - 1])
    return lambda line: line_hash(line) <= limit


def line_hash(line: bytes) -> int:
    return int.from_bytes(sha256(line).digest()[:8], "big")


def file_hash(path: Path) -> str:
    digest = sha256()
    with path.open("rb") as file:
        while piece := file.read(1 << 20):
            digest.update(piece)
    return digest.hexdigest()
