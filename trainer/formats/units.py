"""The tensors of a model, made one after the other; a run goes on where an earlier one ended.

A checkpoint has the finished tensors as streams of numpy's arrays. It links those of the checkpoint
before it, so that each tensor is written once.
"""

import json
import os
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trainer.formats.whole_files import sync, write_text
from trainer.job import Job

SAVE_EVERY_S = 60.0
_STATE, _DRAFT, _ENDING = "state.json", "units.part", ".arrays"
Arrays = list[NDArray[Any]]
Make = Callable[[], Arrays]  # the arrays of one unit, as they stand in the file


class Units:
    """Makes the units of an order. Without `saves` a pause loses them."""

    def __init__(self, job: Job, *, saves: bool = True) -> None:
        self._job, self._saves, self._saved_at = job, saves, time.monotonic()
        self._folder = job.order.checkpoints
        self._before = _newest(self._folder) if saves else None
        self._draft = self._folder / _DRAFT

    def arrays(self, makes: Sequence[Make]) -> Iterator[NDArray[Any]]:
        """Yields the arrays of all units, earlier ones as they were saved. Raises Paused."""
        done = _done(self._before) if self._before else 0
        yield from _saved(self._before) if self._before else ()
        for number, make in enumerate(makes[done:], done + 1):
            arrays = make()
            if self._saves:
                self._append(arrays)
            yield from arrays
            self._after(number, len(makes))

    def _append(self, arrays: Arrays) -> None:
        with self._draft.open("ab") as file:
            for each in arrays:
                np.lib.format.write_array(file, np.asarray(each), allow_pickle=False)

    def _after(self, number: int, of: int) -> None:
        if number == of or number % 16 == 0:
            self._job.events.progress(number, of, "tensors")
        is_due = self._job.stopping.is_set() or time.monotonic() - self._saved_at > SAVE_EVERY_S
        if self._saves and is_due and number < of:
            self._save(number)
        self._job.pause_if_asked()

    def _save(self, number: int) -> None:
        target = self._folder / f"step-{number:06d}"
        part = target.with_name(f"{target.name}.part")
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir()
        for earlier in _files(self._before) if self._before else ():
            os.link(earlier, part / earlier.name)
        sync(self._draft)
        self._draft.rename(part / f"{target.name}{_ENDING}")
        write_text(part / _STATE, json.dumps({"units": number}))
        part.rename(target)
        sync(self._folder)
        if self._before:
            shutil.rmtree(self._before)
        self._before, self._saved_at = target, time.monotonic()
        self._job.events.checkpoint(number, target)


def _newest(folder: Path) -> Path | None:
    (folder / _DRAFT).unlink(missing_ok=True)  # what a killed process wrote after its checkpoint
    whole = [path.parent for path in folder.glob(f"step-*/{_STATE}")]
    return max((path for path in whole if path.suffix != ".part"), default=None)


def _done(checkpoint: Path) -> int:
    return int(json.loads((checkpoint / _STATE).read_text())["units"])


def _files(checkpoint: Path) -> list[Path]:
    return sorted(checkpoint.glob(f"*{_ENDING}"))


def _saved(checkpoint: Path) -> Iterator[NDArray[Any]]:
    for path in _files(checkpoint):
        size = path.stat().st_size
        with path.open("rb") as file:
            while file.tell() < size:
                yield np.lib.format.read_array(file, allow_pickle=False)
