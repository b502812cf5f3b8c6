"""Ranks passages by two measures: the likeness of vectors, and the words that they share.

The measures have different scales. Each is brought to the mean 0 and the deviation 1 over the
candidates (z-scores), and both are added.
"""

import math
from collections.abc import Mapping
from statistics import fmean, pstdev
from typing import NamedTuple

SATURATION, LENGTH_SHARE = 1.2, 0.5  # k1 and b of BM25 (Robertson and Zaragoza, 2009)
WORDS_SHARE = 1.0  # weight of the words beside the vectors


class Weights(NamedTuple):
    """The weights of a question's words in a base, and its passages' mean length."""

    by_word: Mapping[int, float]
    mean_words: float


def weight(passages: int, having: int) -> float:
    """Returns the weight of a word that so many of the passages have (BM25's)."""
    return math.log(1 + (passages - having + 0.5) / (having + 0.5))


def bm25(counts: Mapping[int, int], words: int, weights: Weights) -> float:
    """Returns the score of a passage with so many words. `counts` are those of the question's."""
    length = 1 - LENGTH_SHARE + LENGTH_SHARE * words / (weights.mean_words or 1)
    return sum(
        weights.by_word[word] * count * (SATURATION + 1) / (count + SATURATION * length)
        for word, count in counts.items()
    )


def fused(likeness: Mapping[int, float], shared: Mapping[int, float]) -> dict[int, float]:
    """Returns one score for each candidate. Both measures must have all of them."""
    by_vector, by_words = z_scores(likeness), z_scores(shared)
    return {key: by_vector[key] + WORDS_SHARE * by_words[key] for key in likeness}


def z_scores(values: Mapping[int, float]) -> dict[int, float]:
    """Returns how many deviations each value is above the mean; 0 where all are alike."""
    if not values:
        return {}
    mean, deviation = fmean(values.values()), pstdev(values.values())
    return {key: (value - mean) / deviation if deviation else 0.0 for key, value in values.items()}
