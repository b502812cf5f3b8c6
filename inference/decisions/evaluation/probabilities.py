"""Figures of scores as probabilities: how far they are from what happened."""

from collections.abc import Sequence
from dataclasses import dataclass

from inference.decisions.evaluation.ranking import Counts

BINS = 10


@dataclass(frozen=True, slots=True)
class Bin:
    """Rows whose scores are near each other."""

    rows: int
    mean_score: float
    rate: float  # of positives


def brier(scores: Sequence[float], labels: Sequence[int], counts: Counts | None = None) -> float:
    """Returns the mean square of the distance (Brier, 1950)."""
    many = counts or [1] * len(scores)
    total = sum(many)
    rows = zip(scores, labels, many, strict=True)
    return sum(n * (p - y) ** 2 for p, y, n in rows) / total if total else 0.0


def bins_of(
    scores: Sequence[float], labels: Sequence[int], counts: Counts | None = None
) -> list[Bin]:
    """Returns ten bins of equal width, those without rows left out."""
    sums = [[0, 0.0, 0] for _ in range(BINS)]
    many = counts or [1] * len(scores)
    for p, y, n in zip(scores, labels, many, strict=True):
        place = sums[min(int(p * BINS), BINS - 1)]
        place[0] += n
        place[1] += n * p
        place[2] += n * y
    return [Bin(int(n), p / n, y / n) for n, p, y in sums if n]


def calibration_error(
    scores: Sequence[float], labels: Sequence[int], counts: Counts | None = None
) -> float:
    """Returns the expected calibration error (Naeini and others, 2015)."""
    bins = bins_of(scores, labels, counts)
    total = sum(each.rows for each in bins)
    apart = sum(each.rows * abs(each.mean_score - each.rate) for each in bins)
    return apart / total if total else 0.0
