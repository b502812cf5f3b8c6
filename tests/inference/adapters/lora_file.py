"""A LoRA adapter for the bundled model as a GGUF file, with random weights.

The format is the one of llama.cpp's docs: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
"""

import random
import struct
from array import array
from collections.abc import Mapping
from pathlib import Path

BLOCKS, WIDTH, INNER, RANK = 30, 576, 1536, 2  # of SmolLM2-135M
_FLOAT32, _STRING = 6, 8  # types of values
_F32, _ALIGNMENT = 0, 32
Tensor = tuple[tuple[int, int], "array[float]"]  # columns and rows, and the numbers


def write(path: Path, seed: int, strength: float = 0.05, architecture: str = "llama") -> Path:
    """Write an adapter of all `ffn_down` matrices. Different seeds change answers differently."""
    chance, tensors = random.Random(seed), dict[str, Tensor]()
    for block in range(BLOCKS):
        name = f"blk.{block}.ffn_down.weight"
        tensors[f"{name}.lora_a"] = (INNER, RANK), _numbers(chance, INNER * RANK, strength)
        tensors[f"{name}.lora_b"] = (RANK, WIDTH), _numbers(chance, RANK * WIDTH, strength)
    values = {"general.type": "adapter", "general.architecture": architecture}
    head = _head(values | {"adapter.type": "lora", "adapter.lora.alpha": float(RANK)}, tensors)
    data = b"".join(_padded(numbers.tobytes()) for _shape, numbers in tensors.values())
    path.write_bytes(_padded(head) + data)
    return path


def _numbers(chance: random.Random, count: int, strength: float) -> "array[float]":
    return array("f", (chance.gauss(0, strength) for _ in range(count)))


def _head(values: Mapping[str, str | float], tensors: Mapping[str, Tensor]) -> bytes:
    parts, offset = [b"GGUF", struct.pack("<IQQ", 3, len(tensors), len(values))], 0
    parts += [_text(name) + _value(value) for name, value in values.items()]
    for name, (shape, numbers) in tensors.items():
        parts.append(_text(name) + struct.pack("<IQQIQ", 2, *shape, _F32, offset))
        offset += len(_padded(numbers.tobytes()))
    return b"".join(parts)


def _text(text: str) -> bytes:
    return struct.pack("<Q", len(text.encode())) + text.encode()


def _value(value: str | float) -> bytes:
    if isinstance(value, str):
        return struct.pack("<I", _STRING) + _text(value)
    return struct.pack("<If", _FLOAT32, value)


def _padded(data: bytes) -> bytes:
    return data + b"\0" * (-len(data) % _ALIGNMENT)
