"""A model and a boosted tree combined: logistic regression over both log-odds, in plain Python."""

import math
from collections.abc import Sequence
from typing import NamedTuple

from inference.decisions.tree import sigmoid

EDGE = 1e-6  # scores nearer to 0 or 1 count as this
RIDGE = 1e-3  # keeps weights finite where the scores part both outcomes
STEPS, PRECISION = 100, 1e-9
FEWEST_ROWS = 50

Matrix = list[list[float]]


class Weights(NamedTuple):
    model: float
    tree: float
    intercept: float


def fit(model: Sequence[float], tree: Sequence[float], labels: Sequence[int]) -> Weights:
    """Returns the weights that fit the labels best, by Newton's method.

    Raises ValueError for too few rows, or rows of one outcome.
    """
    if len(labels) < FEWEST_ROWS:
        raise ValueError(f"Combining a model and a tree needs at least {FEWEST_ROWS} rows.")
    if len(set(labels)) < 2:
        raise ValueError("Combining a model and a tree needs rows of both outcomes.")
    rows = [(log_odds(a), log_odds(b), 1.0) for a, b in zip(model, tree, strict=True)]
    weights = [1.0, 0.0, 0.0]
    for _ in range(STEPS):
        step = _newton_step(rows, labels, weights)
        weights = [weight + change for weight, change in zip(weights, step, strict=True)]
        if max(map(abs, step)) < PRECISION:
            break
    return Weights(*weights)


def log_odds(score: float) -> float:
    score = min(1 - EDGE, max(EDGE, score))
    return math.log(score / (1 - score))


def _newton_step(
    rows: Sequence[tuple[float, ...]], labels: Sequence[int], weights: list[float]
) -> list[float]:
    size = len(weights)
    gradient = [-RIDGE * weight for weight in weights]
    curvature = [[RIDGE * (i == j) for j in range(size)] for i in range(size)]
    for row, label in zip(rows, labels, strict=True):
        p = sigmoid(sum(w * x for w, x in zip(weights, row, strict=True)))
        spread = p * (1 - p)
        for i in range(size):
            gradient[i] += (label - p) * row[i]
            for j in range(size):
                curvature[i][j] += spread * row[i] * row[j]
    return _bounded(_solved(curvature, gradient))


def _bounded(step: list[float], most: float = 5.0) -> list[float]:
    """Shortens a step that would leave where the curve is known."""
    longest = max(map(abs, step))
    return [change * min(1.0, most / longest) if longest else change for change in step]


def _solved(matrix: Matrix, right: list[float]) -> list[float]:
    """Solves a small system by elimination; RIDGE keeps it from being singular."""
    rows = [[*line, value] for line, value in zip(matrix, right, strict=True)]
    size = len(rows)
    for column in range(size):
        pivot = max(range(column, size), key=lambda at: abs(rows[at][column]))
        rows[column], rows[pivot] = rows[pivot], rows[column]
        for at in range(size):
            if at != column:
                factor = rows[at][column] / rows[column][column]
                rows[at] = [a - factor * b for a, b in zip(rows[at], rows[column], strict=True)]
    return [rows[at][size] / rows[at][at] for at in range(size)]
