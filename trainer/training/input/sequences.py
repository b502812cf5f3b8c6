"""Sequences of tokens in files, so that data larger than the memory can be trained on."""

import os
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from trainer.refusals import bad_data
from trainer.training.input.texts import Sequence

IGNORED = -100  # the label of a token that the loss does not count


@dataclass(frozen=True, slots=True)
class Batch:
    """Tokens and labels, both of shape (sequences, longest sequence)."""

    ids: Any
    labels: Any

    def to(self, device: str) -> "Batch":
        return Batch(self.ids.to(device), self.labels.to(device))


@dataclass(frozen=True, slots=True)
class Sequences:
    """The tokens, one after the other; sequence n goes from `starts[n]` to `starts[n + 1]`."""

    tokens: Any
    counted: Any
    starts: Any

    def __len__(self) -> int:
        return len(self.starts) - 1

    def targets(self, numbers: Iterable[int]) -> int:
        """Counts the tokens of these sequences that the loss counts."""
        return sum(int(self._part(self.counted, number).sum()) for number in numbers)

    def batch(self, numbers: list[int]) -> Batch:
        """Pads on the right, which no earlier token sees: the attention looks back."""
        rows = [self._part(self.tokens, number) for number in numbers]
        ids = np.zeros((len(rows), max(map(len, rows))), dtype=np.int64)
        labels = np.full_like(ids, IGNORED)
        for at, (row, number) in enumerate(zip(rows, numbers, strict=True)):
            ids[at, : len(row)] = row
            labels[at, : len(row)] = np.where(self._part(self.counted, number), row, IGNORED)
        return Batch(torch.from_numpy(ids), torch.from_numpy(labels))

    def some(self, most: int) -> list[int]:
        """Returns the numbers of at most `most` sequences from all over, always the same."""
        if len(self) <= most:
            return list(range(len(self)))
        drawn = torch.randperm(len(self), generator=torch.Generator().manual_seed(0))
        return sorted(drawn[:most].tolist())

    def _part(self, values: Any, number: int) -> Any:
        return values[self.starts[number] : self.starts[number + 1]]


def write_sequences(folder: Path, sequences: Iterable[Sequence]) -> None:
    """Writes a folder that is either whole or not there."""
    part = folder.with_suffix(".part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    starts = [0]
    with (part / "tokens").open("wb") as tokens, (part / "counted").open("wb") as counted:
        for ids, flags in sequences:
            np.asarray(ids, dtype=np.int32).tofile(tokens)
            np.asarray([False, *flags[1:]], dtype=np.bool_).tofile(counted)
            starts.append(starts[-1] + len(ids))
    np.asarray(starts, dtype=np.int64).tofile(part / "starts")
    os.replace(part, folder)


def open_sequences(folder: Path) -> Sequences:
    starts = np.fromfile(folder / "starts", dtype=np.int64)
    if len(starts) < 2:
        raise bad_data("no_data", "The data has nothing to learn from")
    size = (int(starts[-1]),)
    tokens = np.memmap(folder / "tokens", dtype=np.int32, mode="r", shape=size)
    counted = np.memmap(folder / "counted", dtype=np.bool_, mode="r", shape=size)
    return Sequences(tokens, counted, starts)
