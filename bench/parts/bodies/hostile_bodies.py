"""Bodies of 4 MiB that the platform refuses, each made to cost as much as it can before that."""

from collections.abc import Iterator
from typing import Any

import orjson

LARGEST = 4 * 1024 * 1024  # bytes of a body, as shipped
Bodies = dict[str, bytes]


def filled(unit: bytes, around: tuple[bytes, bytes] = (b'{"a":[', b"0]}")) -> bytes:
    """Returns a body as long as one may be, of the same unit again and again."""
    first, last = around
    return first + unit * ((LARGEST - len(first) - len(last)) // len(unit)) + last


# Too many values: they are counted, and not read.
COUNTED: Bodies = {
    "empty lists": filled(b"[],"),
    "empty objects": filled(b"{},"),
    "lists 60 levels deep": filled(b"[" * 60 + b"]" * 60 + b","),
    "numbers": filled(b"0,"),
    "fractions": filled(b"1.1,"),
    "short texts": filled(b'"a",'),
    "fields": b"{" + b",".join(b'"%x":0' % i for i in range(LARGEST // 10)) + b"}",
    "lists behind escaped quotes": filled(b"[],", (b'{"b":"' + b'\\"[' * 99 + b'","a":[', b"0]}")),
    "lists behind backslashes": filled(b"[],", (b'{"b":"' + b"\\\\" * 99 + b'","a":[', b"0]}")),
}  # fmt: skip


def chat(messages: list[Any] | None = None, **fields: Any) -> bytes:
    hello = [{"role": "user", "content": "Hello"}]
    return orjson.dumps({"model": "smol", "messages": messages or hello, **fields})


def calling(*arguments: str) -> list[Any]:
    calls = [{"type": "function", "function": {"name": "f", "arguments": a}} for a in arguments]
    return [{"role": "assistant", "content": "x", "tool_calls": calls}]


def read_chats() -> Iterator[tuple[str, bytes]]:
    """Yields bodies that are read and checked; their fault comes last."""
    text = {"type": "text", "text": "a"}
    image = {"type": "image_url", "image_url": {"url": "data:"}}
    user = [{"role": "user", "content": "a"}]
    yield "messages", chat(user * 16_000 + [{"role": "x"}])
    yield "parts", chat([{"role": "user", "content": [text] * 16_000 + [{"type": "x"}]}])
    yield "images", chat([{"role": "user", "content": [image] * 9_000 + [{"type": "x"}]}])
    wide = text | {f"k{i}": 1 for i in range(60_000)}
    yield "fields of a part", chat([{"role": "user", "content": [wide]}])
    yield "commas in a text", chat([{"role": "user", "content": "w, " * 1_300_000}], unknown=1)
    yield "wide letters", chat([{"role": "user", "content": "中文" * 600_000}], unknown=1)
    yield "biases", chat(logit_bias={str(i): 1 for i in range(60_000)})
    yield "stop strings", chat(stop=["x"] * 60_000)
    yield "empty fields", chat(**{f"k{i}": None for i in range(60_000)}, unknown=1)
    yield "a long name", orjson.dumps({"model": "smol", "n" * 4_000_000: 1})
    yield "arguments of a call", chat(calling("[" + "[]," * 1_300_000 + "[]]"))
    yield "arguments of calls", chat(calling(*["[" + "[]," * 18_000 + "[]]"] * 60))
    yield "a long number", b'{"model":"smol","prompt":' + b"1" * 4_000_000 + b"}"


def tokens() -> bytes:
    """Returns a text completion's body; the last of its tokens is none."""
    return orjson.dumps({"model": "smol", "prompt": [100_000] * 260_000 + ["x"]})
