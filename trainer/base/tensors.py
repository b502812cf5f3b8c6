"""Tensors in safetensors files: nothing that is read can run code."""

import errno
from collections.abc import Mapping
from math import prod
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file

from trainer.refusals import unusable

_ERRORS = {
    f"os error {number}": number for number in (errno.EFBIG, errno.ENOSPC, errno.EDQUOT, errno.EIO)
}


def write_tensors(path: Path, tensors: Mapping[str, Any]) -> None:
    """Raises OSError where there is no room; the library hides its number in words."""
    try:
        save_file(dict(tensors), path, metadata={"format": "pt"})
    except SafetensorError as error:
        for words, number in _ERRORS.items():
            if words in str(error):
                raise OSError(number, "The file cannot be written") from error
        raise


def read_tensors(path: Path) -> dict[str, Any]:
    return dict(load_file(path))


def count_elements(folder: Path) -> int:
    """Counts the numbers in a model's files by their headers."""
    try:
        return sum(_elements(path) for path in sorted(folder.glob("*.safetensors")))
    except SafetensorError as error:
        raise unusable("base_format", "The base's safetensors files cannot be read") from error


def _elements(path: Path) -> int:
    with safe_open(path, "pt") as file:
        shapes = [file.get_slice(name).get_shape() for name in file.keys()]  # noqa: SIM118
    return sum(prod(shape) for shape in shapes)
