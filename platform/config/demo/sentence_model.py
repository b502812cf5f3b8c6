"""A small model for embeddings, made from the bundled one: its first layers, and their mean.

It lets a demo work where nothing else embeds. Models that were trained for embeddings understand
more. The format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md, little endian.
"""

import mmap
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

LAYERS = 4
_MEAN = 1  # llama.h: LLAMA_POOLING_TYPE_MEAN
_ALIGNMENT = 32
_UINT32, _TEXT, _ARRAY = 4, 8, 9
_SIZES = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}


@dataclass(frozen=True, slots=True)
class Tensor:
    name: str
    shape: bytes  # its description, up to the offset
    start: int  # in the data
    end: int


class Source:
    """A GGUF file that is read from its beginning."""

    def __init__(self, content: mmap.mmap) -> None:
        self._content, self._at = content, 4
        _version, tensors, keys = self._unpack("<IQQ")
        self.pairs = [self._pair() for _ in range(keys)]
        infos = [self._info() for _ in range(tensors)]
        self._data = _aligned(self._at)
        starts = sorted(start for _name, _shape, start in infos)
        ends = dict(zip(starts, [*starts[1:], len(content) - self._data], strict=True))
        self.tensors = [Tensor(name, shape, start, ends[start]) for name, shape, start in infos]

    def data(self, tensor: Tensor) -> bytes:
        return self._content[self._data + tensor.start : self._data + tensor.end]

    def _pair(self) -> tuple[str, bytes]:
        """Returns a key, and the bytes of its type and value."""
        key, start = self._text().decode(), self._at
        (kind,) = self._unpack("<I")
        self._skip(kind)
        return key, self._content[start : self._at]

    def _skip(self, kind: int) -> None:
        if kind == _TEXT:
            self._text()
        elif kind == _ARRAY:
            inner, count = self._unpack("<IQ")
            if inner in _SIZES:
                self._at += count * _SIZES[inner]
            else:
                for _item in range(count):
                    self._skip(inner)
        else:
            self._at += _SIZES[kind]

    def _info(self) -> tuple[str, bytes, int]:
        start = self._at
        name = self._text().decode()
        (dimensions,) = self._unpack("<I")
        self._at += 8 * dimensions + 4  # sizes, and the type
        shape = self._content[start : self._at]
        return name, shape, self._unpack("<Q")[0]

    def _text(self) -> bytes:
        (length,) = self._unpack("<Q")
        self._at += length
        return self._content[self._at - length : self._at]

    def _unpack(self, form: str) -> tuple[int, ...]:
        values = struct.unpack_from(form, self._content, self._at)
        self._at += struct.calcsize(form)
        return values


def write(bundled: Path, file: Path, layers: int = LAYERS) -> None:
    """Write the file, whole or not at all."""
    partial = file.with_suffix(".part")
    with (
        bundled.open("rb") as opened,
        mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ) as content,
        partial.open("wb") as output,
    ):
        for piece in _pieces(Source(content), layers):
            output.write(piece)
    partial.rename(file)


def _pieces(source: Source, layers: int) -> Iterator[bytes]:
    values = dict(source.pairs)
    architecture = values["general.architecture"][12:].decode()
    values[f"{architecture}.block_count"] = struct.pack("<II", _UINT32, layers)
    values[f"{architecture}.pooling_type"] = struct.pack("<II", _UINT32, _MEAN)
    tensors = [tensor for tensor in source.tensors if _layer(tensor.name) < layers]
    header = [struct.pack("<4sIQQ", b"GGUF", 3, len(tensors), len(values))]
    header += [_named(key) + value for key, value in values.items()]
    offset = 0
    for tensor in tensors:
        header.append(tensor.shape + struct.pack("<Q", offset))
        offset = _aligned(offset + tensor.end - tensor.start)
    whole = b"".join(header)
    yield whole.ljust(_aligned(len(whole)), b"\0")
    for tensor in tensors:
        data = source.data(tensor)
        yield data.ljust(_aligned(len(data)), b"\0")


def _layer(name: str) -> int:
    """Returns the number of a tensor's layer; -1 for one of none."""
    kind, _dot, rest = name.partition(".")
    return int(rest.partition(".")[0]) if kind == "blk" else -1


def _named(key: str) -> bytes:
    return struct.pack("<Q", len(key)) + key.encode()


def _aligned(size: int) -> int:
    return -(-size // _ALIGNMENT) * _ALIGNMENT
