"""The secret rotation of vectors: what it keeps, and what it changes."""

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.knowledge.vector_rotation import rotated

pytestmark = pytest.mark.unit
KEY, OTHER_KEY = b"k" * 32, b"o" * 32
seeds = st.integers(0, 2**32)


def unit_vector(seed: int, length: int) -> list[float]:
    generator = random.Random(seed)
    numbers = [generator.gauss(0, 1) for _ in range(length)]
    size = math.hypot(*numbers)
    return [number / size for number in numbers]


def product(one: list[float], other: list[float]) -> float:
    return math.fsum(a * b for a, b in zip(one, other, strict=True))


@given(seeds, seeds, st.integers(2, 400))
def test_inner_products_stay(one: int, other: int, length: int) -> None:
    a, b = unit_vector(one, length), unit_vector(other, length)
    turned = product(rotated(a, KEY), rotated(b, KEY))
    assert turned == pytest.approx(product(a, b), abs=1e-9)


def test_a_vector_says_nothing_of_itself_before() -> None:
    """Returns the distance of two random directions of so many dimensions."""
    vectors = [unit_vector(seed, 384) for seed in range(200)]
    likeness = [product(vector, rotated(vector, KEY)) for vector in vectors]
    assert abs(sum(likeness) / len(likeness)) < 0.02
    assert max(map(abs, likeness)) < 0.25


def test_each_number_reaches_each_place() -> None:
    length = 64
    for place in range(length):
        vector = [float(n == place) for n in range(length)]
        turned = rotated(vector, KEY)
        assert max(map(abs, turned)) < 0.6
        assert sum(abs(number) > 0.01 for number in turned) > 0.8 * length


def test_bases_turn_alike_vectors_apart() -> None:
    """So the nearest of one base are no candidates of another's search."""
    vector = unit_vector(1, 384)
    assert abs(product(rotated(vector, KEY), rotated(vector, OTHER_KEY))) < 0.25
    assert rotated(vector, KEY) == rotated(vector, KEY)
