"""A tenant before an engine whose vectors count words."""

import base64
import struct
from typing import Any

import pytest

from tests.inference.assistants.word_vectors import DIMENSIONS, vector_of
from tests.inference.vectors.conftest import House
from tests.inference.vectors.conftest import engine as engine
from tests.inference.vectors.conftest import house as house


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
