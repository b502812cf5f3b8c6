"""A GGUF file: its tensors as numbers, and a writer that holds one tensor at a time in memory."""

from collections.abc import Iterable, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from gguf import GGML_QUANT_SIZES, GGMLQuantizationType, GGUFWriter
from gguf.quants import dequantize, quant_shape_to_byte_shape, quantize
from numpy.typing import NDArray

from trainer.formats.gguf_header import Field, Header, read_header
from trainer.formats.whole_files import whole
from trainer.refusals import unusable

Floats = NDArray[np.float32]
F32, F16 = GGMLQuantizationType.F32, GGMLQuantizationType.F16
_PLAIN: dict[GGMLQuantizationType, type[Any]] = {F32: np.float32, F16: np.float16}
_WRITTEN_BY_WRITER = {"general.architecture"}


@dataclass(frozen=True, slots=True)
class GgufFile:
    path: Path
    header: Header

    @classmethod
    def open(cls, path: Path) -> "GgufFile":
        return cls(path, read_header(path))

    def raw(self, name: str) -> NDArray[Any]:
        """Returns the bytes of a tensor as they are, in rows."""
        info = self.header.tensors[name]
        if (dtype := _PLAIN.get(info.type)) is not None:
            return np.memmap(self.path, dtype, "r", info.offset, info.shape)
        shape = tuple(quant_shape_to_byte_shape(info.shape, info.type))
        return np.memmap(self.path, np.uint8, "r", info.offset, shape)

    def floats(self, name: str) -> Floats:
        try:
            values = dequantize(self.raw(name), self.header.tensors[name].type)
        except NotImplementedError as error:
            kind = self.header.tensors[name].type.name
            raise unusable("unknown_type", f"Weights of the type {kind} cannot be read") from error
        return np.asarray(values, np.float32)


@dataclass(frozen=True, slots=True)
class Written:
    """A tensor to come: its name, shape and type in the file."""

    name: str
    shape: tuple[int, ...]
    type: GGMLQuantizationType

    @property
    def byte_shape(self) -> tuple[int, ...]:
        return tuple(quant_shape_to_byte_shape(self.shape, self.type))


def write_gguf(
    target: Path,
    architecture: str,
    fields: Mapping[str, Field],
    plan: list[Written],
    tensors: Iterable[NDArray[Any]],
) -> None:
    """Writes the tensors, which come in the order of the plan, as numbers or as quantised bytes."""
    with whole(target) as part, closing(GGUFWriter(part, architecture)) as writer:
        for name, field in fields.items():
            if name not in _WRITTEN_BY_WRITER:
                writer.add_key_value(name, field.value, field.type, sub_type=field.item_type)
        for each in plan:
            _announce(writer, each)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_ti_data_to_file()
        for each, values in zip(plan, tensors, strict=True):
            writer.write_tensor_data(encoded(values, each.type))


def _announce(writer: GGUFWriter, tensor: Written) -> None:
    if tensor.type in _PLAIN:
        dtype = np.dtype(_PLAIN[tensor.type])
        size = int(np.prod(tensor.shape)) * dtype.itemsize
        writer.add_tensor_info(tensor.name, tensor.shape, dtype, size, tensor.type)
        return
    size = int(np.prod(tensor.byte_shape))
    writer.add_tensor_info(tensor.name, tensor.byte_shape, np.dtype(np.uint8), size, tensor.type)


def encoded(values: NDArray[Any], type: GGMLQuantizationType) -> NDArray[Any]:
    """Returns the bytes of numbers in a type; what is bytes already stays as it is."""
    if values.dtype == np.uint8:
        return values
    if type in _PLAIN:
        return np.ascontiguousarray(values, _PLAIN[type])
    return np.asarray(quantize(np.ascontiguousarray(values, np.float32), type))


def fitting(shape: tuple[int, ...], wanted: GGMLQuantizationType) -> GGMLQuantizationType:
    """Returns the type that a tensor gets: F32 for vectors, F16 where no block fits a row."""
    if len(shape) == 1:
        return F32
    block, _bytes = GGML_QUANT_SIZES[wanted]
    return wanted if shape[-1] % block == 0 else F16
