"""Turns vectors by a secret rotation: all their inner products stay, their directions do not.

The rotation is a product of layers. Each shuffles the numbers and turns pairs of them by angles,
both from the key; after twice as many layers as the length has binary digits, each number has
reached each place, often. `docs/scenarios/knowledge.md` says what that protects.
"""

import hashlib
import math
from functools import lru_cache
from itertools import chain
from typing import NamedTuple

BYTES = 8  # of randomness for each choice


class Layer(NamedTuple):
    order: tuple[int, ...]  # of the numbers, before pairs of them are turned
    sines: tuple[float, ...]
    cosines: tuple[float, ...]


def rotated(vector: list[float], key: bytes) -> list[float]:
    """Returns the vector, turned. The same key turns all vectors of one length alike."""
    for order, sines, cosines in layers(key, len(vector)):
        first = [vector[place] for place in order[0::2]]
        second = [vector[place] for place in order[1::2]]
        rest = [vector[order[-1]]] if len(order) % 2 else []
        turned = [
            (c * a - s * b, s * a + c * b)
            for a, b, s, c in zip(first[: len(second)], second, sines, cosines, strict=True)
        ]
        vector = [*chain.from_iterable(turned), *rest]
    return vector


@lru_cache(64)
def layers(key: bytes, length: int) -> tuple[Layer, ...]:
    count = 2 * max(1, length.bit_length())
    return tuple(_layer(key, length, number) for number in range(count))


def _layer(key: bytes, length: int, number: int) -> Layer:
    pairs = length // 2
    name = b"%d|%d" % (length, number)
    random = hashlib.shake_256(key + name).digest(BYTES * (length + pairs))
    draws = [random[n : n + BYTES] for n in range(0, len(random), BYTES)]
    order = sorted(range(length), key=draws.__getitem__)
    angles = [2 * math.pi * int.from_bytes(draw) / 2**64 for draw in draws[length:]]
    sines, cosines = tuple(map(math.sin, angles)), tuple(map(math.cos, angles))
    return Layer(tuple(order), sines, cosines)
