"""The head of a GGUF file, read within bounds: metadata and where each tensor lies.

gguf's own reader trusts every length in the file, and takes 15 s for a vocabulary of 49,152 words.
Format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
"""

import re
import struct
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any, BinaryIO

from gguf import GGML_QUANT_SIZES, GGMLQuantizationType, GGUFValueType

from trainer.refusals import Refusal, unusable

MAGIC = b"GGUF"
PICKLE = "Pickled weights can run code: only safetensors and GGUF are read"
LARGEST_HEAD = 256 << 20
MOST_FIELDS, MOST_TENSORS, MOST_DIMENSIONS = 10_000, 100_000, 4
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}", re.ASCII)
_STRING, _ARRAY = GGUFValueType.STRING, GGUFValueType.ARRAY
_NUMBERS = {
    GGUFValueType.UINT8: "<B",
    GGUFValueType.INT8: "<b",
    GGUFValueType.UINT16: "<H",
    GGUFValueType.INT16: "<h",
    GGUFValueType.UINT32: "<I",
    GGUFValueType.INT32: "<i",
    GGUFValueType.FLOAT32: "<f",
    GGUFValueType.BOOL: "<?",
    GGUFValueType.UINT64: "<Q",
    GGUFValueType.INT64: "<q",
    GGUFValueType.FLOAT64: "<d",
}


@dataclass(frozen=True, slots=True)
class Field:
    """A value and its type; `item_type` is that of an array's items."""

    value: Any
    type: GGUFValueType
    item_type: GGUFValueType | None = None


@dataclass(frozen=True, slots=True)
class TensorInfo:
    """Rows come first in `shape`, as in numpy; the file has them last."""

    name: str
    shape: tuple[int, ...]
    type: GGMLQuantizationType
    offset: int  # from the begin of the file
    size: int


@dataclass(frozen=True, slots=True)
class Header:
    fields: dict[str, Field]
    tensors: dict[str, TensorInfo]

    def get(self, name: str, default: Any = None) -> Any:
        field = self.fields.get(name)
        return default if field is None else field.value

    def need(self, name: str) -> Any:
        if name not in self.fields:
            raise bad(f"It lacks {name}")
        return self.fields[name].value

    @property
    def architecture(self) -> str:
        return str(self.need("general.architecture"))


def bad(words: str) -> Refusal:
    return unusable("bad_gguf", f"The file is no sound GGUF: {words}")


def read_header(path: Path) -> Header:
    size = path.stat().st_size
    with path.open("rb") as file:
        try:
            return _header(_Reader(file, min(size, LARGEST_HEAD)), size)
        except (struct.error, UnicodeDecodeError, ValueError) as error:
            raise bad("a value in its head is broken") from error


class _Reader:
    """Reads values, and never beyond the end."""

    def __init__(self, file: BinaryIO, end: int) -> None:
        self._file = file
        self._end = end
        self.position = 0

    def bytes(self, count: int) -> bytes:
        if count > self._end - self.position:
            raise bad("its head ends too early, or is larger than 256 MiB")
        self.position += count
        return self._file.read(count)

    def number(self, type: GGUFValueType) -> Any:
        layout = _NUMBERS[type]
        return struct.unpack(layout, self.bytes(struct.calcsize(layout)))[0]

    def count(self, most: int, words: str) -> int:
        value = int(self.number(GGUFValueType.UINT64))
        if value > most:
            raise bad(f"too many {words}")
        return value

    def string(self) -> str:
        return self.bytes(self.count(self._end, "letters")).decode()

    def field(self) -> Field:
        type = self._type()
        if type is not _ARRAY:
            return Field(self.string() if type is _STRING else self.number(type), type)
        item_type = self._type()
        if item_type is _ARRAY:
            raise bad("an array of arrays")
        return Field(self._items(item_type), type, item_type)

    def _type(self) -> GGUFValueType:
        return GGUFValueType(self.number(GGUFValueType.UINT32))

    def _items(self, type: GGUFValueType) -> list[Any]:
        count = self.count(self._end - self.position, "items")
        if type is _STRING:
            return [self.string() for _ in range(count)]
        layout = _NUMBERS[type]
        data = self.bytes(count * struct.calcsize(layout))
        return [value for (value,) in struct.iter_unpack(layout, data)]


def _header(reader: _Reader, size: int) -> Header:
    _check_start(reader)
    tensor_count = reader.count(MOST_TENSORS, "tensors")
    field_count = reader.count(MOST_FIELDS, "fields")
    fields = dict[str, Field]()
    for _ in range(field_count):
        name = reader.string()
        if name in fields or len(name) > 200:
            raise bad("a field has two values or too long a name")
        fields[name] = reader.field()
    infos = [_tensor_info(reader) for _ in range(tensor_count)]
    return Header(fields, _placed(infos, _data_start(reader.position, fields), fields, size))


def _check_start(reader: _Reader) -> None:
    start = reader.bytes(4)
    if start != MAGIC:
        raise pickled(start) or bad("it does not begin with GGUF")
    version = reader.number(GGUFValueType.UINT32)
    if version not in (2, 3):
        raise bad("it is not of version 2 or 3, or for big-endian machines")


def pickled(start: bytes) -> Refusal | None:
    """Returns a refusal where a file begins like a pickle, or like PyTorch's archive of one."""
    if start[:2] == b"PK" or (start[:1] == b"\x80" and start[1:2] in b"\x01\x02\x03\x04\x05"):
        return unusable("pickle", PICKLE)
    return None


def _tensor_info(reader: _Reader) -> TensorInfo:
    name = reader.string()
    if not _NAME.fullmatch(name) or ".." in name:
        raise bad("a tensor's name has letters that no name has")
    dimensions = reader.number(GGUFValueType.UINT32)
    if not 1 <= dimensions <= MOST_DIMENSIONS:
        raise bad(f"{name} has {dimensions} dimensions")
    shape = tuple(reader.number(GGUFValueType.UINT64) for _ in range(dimensions))
    type = GGMLQuantizationType(reader.number(GGUFValueType.UINT32))
    block, block_bytes = GGML_QUANT_SIZES[type]
    if not all(shape) or shape[0] % block:
        raise bad(f"the shape of {name} does not fit its type")
    size = prod(shape) // block * block_bytes
    return TensorInfo(name, shape[::-1], type, reader.number(GGUFValueType.UINT64), size)


def _data_start(end_of_head: int, fields: dict[str, Field]) -> int:
    return -(-end_of_head // alignment(fields)) * alignment(fields)


def alignment(fields: dict[str, Field]) -> int:
    field = fields.get("general.alignment")
    value = 32 if field is None else field.value
    if value not in [1 << power for power in range(3, 17)]:
        raise bad("its alignment is no power of two from 8 to 65536")
    return int(value)


def _placed(
    infos: list[TensorInfo], start: int, fields: dict[str, Field], size: int
) -> dict[str, TensorInfo]:
    """Returns the tensors by name; each lies in the file, and none in another."""
    tensors, end = dict[str, TensorInfo](), start
    for info in sorted(infos, key=lambda info: info.offset):
        place = start + info.offset
        if info.offset % alignment(fields) or place < end or place + info.size > size:
            raise bad(f"{info.name} does not lie where its head says")
        if info.name in tensors:
            raise bad(f"{info.name} is there twice")
        tensors[info.name] = TensorInfo(info.name, info.shape, info.type, place, info.size)
        end = place + info.size
    return tensors
