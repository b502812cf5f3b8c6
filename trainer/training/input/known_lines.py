"""The lines that a run began with, by their hashes: some may leave its data between two starts.

Rows of a person who is erased leave a data set, also while a run over it is paused. The run goes on
with the others. Data with a line that the run did not begin with is other data.
"""

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np

from trainer.order import Order
from trainer.training.input.lines import file_hash, line_hash, read_lines

SIDES = ("held_out", "train")
_FILES = "files.json"


def data_files(order: Order) -> list[Path]:
    return [path for path in (order.train, order.held_out) if path is not None and path.is_file()]


def data_hashes(order: Order) -> list[str]:
    return [file_hash(path) for path in data_files(order)]


def noted_hashes(folder: Path) -> list[str] | None:
    """Returns the hashes of the files of which the folder's sequences are."""
    path = folder / _FILES
    hashes: list[str] | None = json.loads(path.read_text()) if path.exists() else None
    return hashes


def note_hashes(folder: Path, hashes: list[str]) -> None:
    part = folder / f"{_FILES}.part"
    part.write_text(json.dumps(hashes))
    part.rename(folder / _FILES)


def note_lines(folder: Path, side: str, lines: Iterable[bytes]) -> None:
    """Notes the lines of a side at the first start."""
    if not (path := _path(folder, side)).exists():
        part = path.with_suffix(".part")
        _hashes(lines).tofile(part)
        part.rename(path)


def held_out_before(folder: Path) -> Callable[[bytes], bool] | None:
    """Returns a test for lines that were held out at the first start; None if this is it."""
    if not _path(folder, "held_out").exists():
        return None
    hashes = _noted(folder, "held_out")

    def was_held_out(line: bytes) -> bool:
        place = int(np.searchsorted(hashes, np.uint64(line_hash(line))))
        return place < len(hashes) and int(hashes[place]) == line_hash(line)

    return was_held_out


def has_known_lines(order: Order, folder: Path) -> bool:
    """Returns whether the run began with all lines that the data has now."""
    known = np.concatenate([_noted(folder, side) for side in SIDES])
    lines = (line for path in data_files(order) for _number, line in read_lines(path))
    return bool(np.isin(_hashes(lines), known).all())


def _noted(folder: Path, side: str) -> Any:
    return np.fromfile(_path(folder, side), np.uint64)


def _path(folder: Path, side: str) -> Path:
    return folder / f"{side}.lines"


def _hashes(lines: Iterable[bytes]) -> Any:
    return np.unique(np.fromiter(map(line_hash, lines), np.uint64))
