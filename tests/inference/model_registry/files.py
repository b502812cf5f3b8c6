"""Small model files, whole and broken, written as their formats say."""

import json
import struct
from pathlib import Path
from typing import Any

F32, Q8_0, TEXT, UINT32, UINT64 = 0, 8, 8, 4, 10


def safetensors(path: Path, fill: bytes = b"\1", **shapes: list[int]) -> Path:
    """Write F32 tensors of these shapes."""
    entries: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    end = 0
    for name, shape in (shapes or {"weight": [2, 3]}).items():
        size = 4
        for extent in shape:
            size *= extent
        entries[name] = {"dtype": "F32", "shape": shape, "data_offsets": [end, end + size]}
        end += size
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(_safetensors(entries) + fill * end)
    return path


def _safetensors(entries: dict[str, Any]) -> bytes:
    header = json.dumps(entries).encode()
    return struct.pack("<Q", len(header)) + header


def gguf(path: Path, *, values: int = 64, fill: bytes = b"\2", **keys: str | int) -> Path:
    """Write one F32 tensor, and keys such as general__architecture="llama"."""
    fields = {"general__architecture": "llama", **keys}
    raw = b"GGUF" + struct.pack("<IQQ", 3, 1, len(fields))
    for name, value in fields.items():
        raw += _text(name.replace("__", "."))
        if isinstance(value, int):
            is_long = value >= 1 << 32
            raw += struct.pack("<IQ" if is_long else "<II", UINT64 if is_long else UINT32, value)
        else:
            raw += struct.pack("<I", TEXT) + _text(value)
    raw += _text("token_embd.weight") + struct.pack("<IQIQ", 1, values, F32, 0)
    raw += b"\0" * (-len(raw) % 32)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(raw + fill * (4 * values))
    return path


def _text(text: str) -> bytes:
    return struct.pack("<Q", len(text)) + text.encode()


def folder(path: Path, fill: bytes = b"\1") -> Path:
    """Write a model's folder as trainers leave it."""
    safetensors(path / "model.safetensors", fill=fill)
    (path / "config.json").write_text('{"model_type": "llama"}')
    (path / "README.md").write_text("# A model\n\nFor tests.")
    return path
