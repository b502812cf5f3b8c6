"""Weights in safetensors: in one file or several, read by slices and written in a stream.

The library checks a head, but reads no bfloat16 into numpy and writes only what is all in memory.
Format: https://github.com/huggingface/safetensors#format
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open

from trainer.formats.gguf_header import PICKLE, pickled
from trainer.formats.small_files import object_of
from trainer.formats.whole_files import whole
from trainer.refusals import Refusal, unusable

Floats = NDArray[np.float32]
DTYPES = {"F64": np.float64, "F32": np.float32, "F16": np.float16, "BF16": np.uint16}
DTYPES |= {"I64": np.int64, "I32": np.int32, "I8": np.int8}
SINGLE, INDEX = "model.safetensors", "model.safetensors.index.json"
_PICKLED = {".bin", ".pt", ".pth", ".pkl", ".ckpt"}
_WEIGHTS = {"F64", "F32", "F16", "BF16"}
_NUMPY = {np.dtype(value): name for name, value in DTYPES.items() if name != "BF16"}


@dataclass(frozen=True, slots=True)
class Tensor:
    path: Path
    dtype: str
    shape: tuple[int, ...]
    offset: int

    def floats(self) -> Floats:
        if self.dtype not in _WEIGHTS:
            raise unusable("unknown_type", f"Weights of the type {self.dtype[:20]} cannot be read")
        if not prod(self.shape):
            return np.zeros(self.shape, np.float32)
        values = np.memmap(self.path, DTYPES[self.dtype], "r", self.offset, self.shape)
        if self.dtype == "BF16":  # the upper half of a float32
            return (values.astype(np.uint32) << 16).view(np.float32)
        return np.asarray(values, np.float32)


def bad(words: str) -> Refusal:
    return unusable("bad_safetensors", f"The weights are no sound safetensors: {words}")


def read_file(path: Path) -> dict[str, Tensor]:
    """Returns the tensors of one file by name."""
    with path.open("rb") as file:
        start = file.read(8)
        if refusal := pickled(start):
            raise refusal
        try:
            with safe_open(path, "np"):  # the library checks lengths, shapes and offsets
                pass
        except (SafetensorError, OSError) as error:
            raise bad("its head does not fit the file") from error
        length = int.from_bytes(start, "little")
        head = json.loads(file.read(length))
    head.pop("__metadata__", None)
    return {name: _tensor(path, each, 8 + length) for name, each in head.items()}


def _tensor(path: Path, entry: dict[str, Any], start: int) -> Tensor:
    return Tensor(path, entry["dtype"], tuple(entry["shape"]), start + entry["data_offsets"][0])


def read_folder(folder: Path, single: str = SINGLE) -> dict[str, Tensor]:
    """Returns the tensors of a folder's weights, in one file or in those that its index names."""
    if (folder / INDEX).is_file():
        names = files_of_index(folder)
        files = sorted(set(names.values()))
        tensors = {name: each for file in files for name, each in _there(folder / file).items()}
        if names.keys() - tensors.keys():
            raise bad("tensors of its index are missing")
        return {name: tensors[name] for name in names}
    return _there(folder / single)


def files_of_index(folder: Path) -> dict[str, str]:
    """Returns the file of each tensor, by the index; none of them is outside of the folder."""
    names = object_of(folder / INDEX).get("weight_map")
    if not isinstance(names, dict):
        raise bad("its index has no weight_map")
    return {name: _plain_name(file) for name, file in names.items()}


def _there(path: Path) -> dict[str, Tensor]:
    if path.is_file():
        return read_file(path)
    if any(each.suffix in _PICKLED for each in path.parent.glob("*")):
        raise unusable("pickle", PICKLE)
    raise unusable("no_weights", f"{path.name} is not there")


def _plain_name(name: object) -> str:
    """Refuses names that lead out of the folder."""
    if not isinstance(name, str) or Path(name).name != name or not name.endswith(".safetensors"):
        raise bad("its index names a file outside its folder")
    return name


@dataclass(frozen=True, slots=True)
class Written:
    name: str
    dtype: str
    shape: tuple[int, ...]

    @property
    def size(self) -> int:
        return prod(self.shape) * int(np.dtype(DTYPES[self.dtype]).itemsize)


def write_file(target: Path, plan: list[Written], tensors: Iterable[NDArray[Any]]) -> None:
    """Writes the tensors, which come in the order of the plan and in its dtypes."""
    head = _head(plan)
    with whole(target) as part, part.open("wb") as file:
        file.write(len(head).to_bytes(8, "little") + head)
        for each, values in zip(plan, tensors, strict=True):
            if values.shape != each.shape or _NUMPY[values.dtype] != each.dtype:
                raise TypeError(f"{each.name} is not as planned")
            file.write(np.ascontiguousarray(values).data)


def _head(plan: list[Written]) -> bytes:
    entries: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    end = 0
    for each in plan:
        offsets = [end, end + each.size]
        entries[each.name] = {"dtype": each.dtype, "shape": each.shape, "data_offsets": offsets}
        end += each.size
    head = json.dumps(entries, separators=(",", ":")).encode()
    return head + b" " * (-len(head) % 8)
