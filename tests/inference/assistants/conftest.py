"""A tenant before an engine whose vectors count words, so that sentences of an intent are near."""

import base64
import struct
from typing import Any
from zlib import crc32

import pytest

from inference.assistants import sentences
from tests.inference.vectors.conftest import House
from tests.inference.vectors.conftest import engine as engine
from tests.inference.vectors.conftest import house as house

DIMENSIONS = 64


def vector_of(text: str) -> list[float]:
    vector = [0.01] * DIMENSIONS
    for word in sentences.plain(text).split():
        vector[crc32(word.encode()) % DIMENSIONS] += 1.0
    return vector


def answer_to(body: dict[str, Any]) -> dict[str, Any]:
    data = []
    for index, text in enumerate(body["input"]):
        packed = struct.pack(f"<{DIMENSIONS}f", *vector_of(text))
        embedding = base64.b64encode(packed).decode()
        data.append({"object": "embedding", "index": index, "embedding": embedding})
    tokens = sum(len(text) for text in body["input"])
    usage = {"prompt_tokens": tokens, "total_tokens": tokens}
    return {"object": "list", "data": data, "model": "theirs", "usage": usage}


@pytest.fixture
def words(house: House) -> House:
    house.engine.answer = answer_to
    return house
