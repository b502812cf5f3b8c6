"""Vectors that count words, so that sentences of an intent are near each other."""

from zlib import crc32

from inference.assistants import set_phrases

DIMENSIONS = 64


def vector_of(text: str) -> list[float]:
    vector = [0.01] * DIMENSIONS
    for word in set_phrases.plain(text).split():
        vector[crc32(word.encode()) % DIMENSIONS] += 1.0
    return vector
