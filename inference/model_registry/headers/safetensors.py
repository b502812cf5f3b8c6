"""Reads the header of a safetensors file: 8 bytes of length, JSON, then the tensors' bytes.

https://huggingface.co/docs/safetensors: tensors follow each other without holes, so a name that
stands twice in the JSON leaves bytes that no tensor claims, and the file is refused.
"""

from math import prod
from pathlib import Path

import msgspec

from inference.model_registry.headers.header import BadFile, Header

LARGEST_HEADER = 32 << 20
MOST_DIMENSIONS = 8
_BITS = {
    **dict.fromkeys(("F64", "I64", "U64", "C64"), 64),
    **dict.fromkeys(("F32", "I32", "U32"), 32),
    **dict.fromkeys(("F16", "BF16", "I16", "U16"), 16),
    **dict.fromkeys(("F8_E4M3", "F8_E5M2", "F8_E8M0", "I8", "U8", "BOOL"), 8),
    **dict.fromkeys(("F6_E2M3", "F6_E3M2"), 6),
    "F4": 4,
}


class _Tensor(msgspec.Struct):
    dtype: str
    shape: list[int]
    data_offsets: tuple[int, int]


def read(file: Path) -> Header:
    """Raises BadFile, OSError."""
    with file.open("rb") as content:
        length = int.from_bytes(content.read(8), "little")
        room = file.stat().st_size - 8 - length
        if not 2 <= length <= LARGEST_HEADER or room < 0:
            raise BadFile(f"{file.name} is not a safetensors file: its header has a wrong length")
        tensors = _tensors(file.name, content.read(length))
    header, claimed = Header(), 0
    for tensor in sorted(tensors.values(), key=lambda tensor: tensor.data_offsets):
        start, end = tensor.data_offsets
        if start != claimed or end - start != _size(file.name, tensor):
            raise BadFile(f"{file.name}: the places of its tensors do not fit together")
        claimed = end
        header.parameters += prod(tensor.shape)
        header.bytes_by_dtype[tensor.dtype] += end - start
    if claimed != room:
        raise BadFile(f"{file.name} has bytes that belong to no tensor, or is cut off")
    return header


def _tensors(name: str, raw: bytes) -> dict[str, _Tensor]:
    try:
        fields = msgspec.json.decode(raw, type=dict[str, msgspec.Raw])
        fields.pop("__metadata__", None)
        return {key: msgspec.json.decode(value, type=_Tensor) for key, value in fields.items()}
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise BadFile(f"{name} is not a safetensors file: its header is not readable") from None


def _size(name: str, tensor: _Tensor) -> int:
    bits = _BITS.get(tensor.dtype)
    if bits is None:
        raise BadFile(f"{name} has a tensor of the unknown type {tensor.dtype[:20]!r}")
    if len(tensor.shape) > MOST_DIMENSIONS or any(not 0 <= n < 1 << 40 for n in tensor.shape):
        raise BadFile(f"{name} has a tensor of an impossible shape")
    return -(-bits * prod(tensor.shape) // 8)
