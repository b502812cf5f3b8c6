"""Reads the header of a GGUF file: keys with values, then the places of the tensors.

https://github.com/ggml-org/ggml/blob/master/docs/gguf.md. Versions 2 and 3, little endian. Arrays
are skipped, tokens of a vocabulary among them; every count and length is bounded before it is read.
"""

import struct
from math import prod
from pathlib import Path
from typing import Any, BinaryIO

from inference.model_registry.headers.header import BadFile, Header

LARGEST_HEADER = 64 << 20  # a vocabulary of 250,000 tokens with its merges has 20 MB
MOST_TENSORS, MOST_KEYS, MOST_VALUES = 100_000, 10_000, 4_000_000
LONGEST_NAME, LONGEST_TEXT, MOST_DIMENSIONS = 512, 8 << 20, 4
_DEFAULT_ALIGNMENT, _LARGEST_ALIGNMENT = 32, 1 << 16
_NUMBERS = {0: "<B", 1: "<b", 2: "<H", 3: "<h", 4: "<I", 5: "<i", 6: "<f", 7: "<?"}
_NUMBERS |= {10: "<Q", 11: "<q", 12: "<d"}
_TEXT, _ARRAY = 8, 9
# The number of a type in the file -> its name, values in a block, bytes of a block (ggml.h).
TYPES = {
    0: ("F32", 1, 4), 1: ("F16", 1, 2), 2: ("Q4_0", 32, 18), 3: ("Q4_1", 32, 20),
    6: ("Q5_0", 32, 22), 7: ("Q5_1", 32, 24), 8: ("Q8_0", 32, 34), 9: ("Q8_1", 32, 36),
    10: ("Q2_K", 256, 84), 11: ("Q3_K", 256, 110), 12: ("Q4_K", 256, 144),
    13: ("Q5_K", 256, 176), 14: ("Q6_K", 256, 210), 15: ("Q8_K", 256, 292),
    16: ("IQ2_XXS", 256, 66), 17: ("IQ2_XS", 256, 74), 18: ("IQ3_XXS", 256, 98),
    19: ("IQ1_S", 256, 50), 20: ("IQ4_NL", 32, 18), 21: ("IQ3_S", 256, 110),
    22: ("IQ2_S", 256, 82), 23: ("IQ4_XS", 256, 136), 24: ("I8", 1, 1), 25: ("I16", 1, 2),
    26: ("I32", 1, 4), 27: ("I64", 1, 8), 28: ("F64", 1, 8), 29: ("IQ1_M", 256, 56),
    30: ("BF16", 1, 2), 34: ("TQ1_0", 256, 54), 35: ("TQ2_0", 256, 66), 39: ("MXFP4", 32, 17),
}  # fmt: skip


def read(file: Path) -> Header:
    """Raises BadFile, OSError."""
    with file.open("rb") as content:
        reader = _Reader(content, file.name, file.stat().st_size)
        keys, tensors = reader.beginning()
        values = dict(reader.pair() for _ in range(keys))
        header = _described(values)
        end = max([_added(header, reader) for _ in range(tensors)], default=0)
        alignment = values.get("general.alignment", _DEFAULT_ALIGNMENT)
        if not (isinstance(alignment, int) and 0 < alignment <= _LARGEST_ALIGNMENT):
            raise BadFile(f"{file.name} has an impossible alignment")
        if end and -(-content.tell() // alignment) * alignment + end > reader.size:
            raise BadFile(f"{file.name} is cut off: its tensors end beyond the file")
    return header


def _described(values: dict[str, Any]) -> Header:
    architecture = str(values.get("general.architecture", ""))[:LONGEST_NAME]
    length = values.get(f"{architecture}.context_length", 0)
    pooling = values.get(f"{architecture}.pooling_type", 0)
    return Header(
        architecture=architecture,
        licence=str(values.get("general.license", "")),
        context_length=length if isinstance(length, int) else 0,
        is_adapter=values.get("general.type") == "adapter",
        pooling=pooling if isinstance(pooling, int) else 0,
    )


def _added(header: Header, reader: "_Reader") -> int:
    """Add the next tensor to the header. Returns where its bytes end."""
    dtype, values, size, offset = reader.tensor()
    header.parameters += values
    header.bytes_by_dtype[dtype] += size
    return offset + size


class _Reader:
    def __init__(self, content: BinaryIO, name: str, size: int) -> None:
        self._content, self._name, self.size = content, name, size
        self._room = min(size, LARGEST_HEADER)

    def beginning(self) -> tuple[int, int]:
        """Returns the numbers of keys and of tensors."""
        if self._bytes(4) != b"GGUF":
            raise BadFile(f"{self._name} is not a GGUF file")
        if (version := self._number("<I")) not in (2, 3):
            raise BadFile(f"{self._name} is GGUF of version {version}: 2 and 3 are known")
        tensors, keys = self._number("<Q"), self._number("<Q")
        if tensors > MOST_TENSORS or keys > MOST_KEYS:
            raise BadFile(f"{self._name} says that it has {tensors} tensors and {keys} keys")
        return keys, tensors

    def pair(self) -> tuple[str, Any]:
        """Returns a key and its value; None for an array."""
        return self._text(LONGEST_NAME), self._value(self._number("<I"), 0)

    def tensor(self) -> tuple[str, int, int, int]:
        """Returns type, number of values, bytes, and offset of a tensor."""
        self._text(LONGEST_NAME)
        dimensions = self._number("<I")
        if dimensions > MOST_DIMENSIONS:
            raise BadFile(f"{self._name} has a tensor with {dimensions} dimensions")
        values = prod(self._number("<Q") for _ in range(dimensions))
        number, offset = self._number("<I"), self._number("<Q")
        if number not in TYPES:
            raise BadFile(f"{self._name} has a tensor of the unknown type {number}")
        dtype, block, size = TYPES[number]
        if values % block or values > 1 << 44:
            raise BadFile(f"{self._name} has a tensor of an impossible shape")
        return dtype, values, values // block * size, offset

    def _value(self, kind: int, depth: int) -> Any:
        if kind == _TEXT:
            return self._text(LONGEST_TEXT)
        if kind == _ARRAY:
            return self._skip_array(depth)
        if kind not in _NUMBERS:
            raise BadFile(f"{self._name} has a value of the unknown type {kind}")
        return self._number(_NUMBERS[kind])

    def _skip_array(self, depth: int) -> None:
        kind, length = self._number("<I"), self._number("<Q")
        if length > MOST_VALUES or depth > 1:
            raise BadFile(f"{self._name} has an array that is too large")
        if kind in _NUMBERS:
            self._skip(length * struct.calcsize(_NUMBERS[kind]))
            return
        for _ in range(length):
            if kind == _TEXT:
                self._skip(self._number("<Q"))
            else:
                self._value(kind, depth + 1)

    def _text(self, longest: int) -> str:
        if (length := self._number("<Q")) > longest:
            raise BadFile(f"{self._name} has a text of {length} bytes")
        return self._bytes(length).decode(errors="replace")

    def _number(self, form: str) -> Any:
        return struct.unpack(form, self._bytes(struct.calcsize(form)))[0]

    def _skip(self, length: int) -> None:
        self._take(length)
        self._content.seek(length, 1)

    def _bytes(self, length: int) -> bytes:
        self._take(length)
        return self._content.read(length)

    def _take(self, length: int) -> None:
        self._room -= length
        if self._room < 0:
            raise BadFile(f"{self._name} is cut off in its header, or the header is too long")
